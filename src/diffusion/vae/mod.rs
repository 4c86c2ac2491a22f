//! Pixels to latents and back.

pub mod autoencoder;
pub mod space_to_depth;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use self::autoencoder::{AutoencoderConfig, AutoencoderKl};
use self::space_to_depth::{SpaceToDepth, SpaceToDepthConfig};

/// What makes small latents of pixels, and pixels of latents.
///
/// Pixels are (batch, 3, height, width) in [-1, 1]; latents (batch, channels, height / factor, width /
/// factor), of about unit variance.
pub trait LatentCodec: Send + Sync {
    /// The likeliest latents of images.
    ///
    /// # Errors
    /// If the shape does not fit.
    fn encode(&self, pixels: &Tensor) -> Result<Tensor>;

    /// Images of latents; they may leave [-1, 1] a little.
    ///
    /// # Errors
    /// If the shape does not fit.
    fn decode(&self, latents: &Tensor) -> Result<Tensor>;

    /// Channels of the latents.
    fn channels(&self) -> usize;

    /// Pixels a latent is wide and high.
    fn factor(&self) -> usize;
}

/// Which codec, and its sizes: a folder's `vae/config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "_class_name")]
pub enum CodecConfig {
    /// The trained one.
    #[serde(rename = "AutoencoderKL")]
    AutoencoderKl(AutoencoderConfig),
    /// The yardstick, which has no weights.
    SpaceToDepth(SpaceToDepthConfig),
}

impl CodecConfig {
    /// Pixels a latent is wide and high.
    pub fn factor(&self) -> usize {
        match self {
            Self::AutoencoderKl(config) => config.factor(),
            Self::SpaceToDepth(config) => config.factor,
        }
    }

    /// Reads the codec.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn open(&self, vb: &VarBuilder<'_>) -> Result<Box<dyn LatentCodec>> {
        Ok(match self {
            Self::AutoencoderKl(config) => Box::new(AutoencoderKl::new(config, vb)?),
            Self::SpaceToDepth(config) => Box::new(SpaceToDepth::new(*config)?),
        })
    }
}
