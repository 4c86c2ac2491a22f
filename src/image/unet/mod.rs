//! The white box (docs/method.md): the way down of the diffusion model's own U-Net, on the latents of
//! the image at time step 0, told a caption. In (batch, 3, side, side), out (batch, width).
//!
//! It is trained from the diffusion model's weights. Codec and captioner stay as they are.

mod captioner;
mod resample;

use std::path::{Path, PathBuf};

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

pub(crate) use self::captioner::BLIP_FOLDER;
use self::captioner::Captioner;
pub use self::captioner::{CaptionerConfig, SentencesConfig, WordsConfig};
use self::resample::Resample;
use super::encoders::EncoderConfig;
use super::vit::VitConfig;
use super::{Architecture, ImageEncoder};
use crate::diffusion::unet::config::UNetConfig;
use crate::diffusion::unet::encoder::UNetEncoder;
use crate::diffusion::vae::autoencoder::AutoencoderConfig;
use crate::diffusion::vae::{CodecConfig, LatentCodec};
use crate::error;
use crate::nn::frozen::frozen;

/// Sizes of the white box: those of the diffusion model, and of what captions images for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UNetEncoderConfig {
    /// The diffusion model's U-Net.
    pub unet: UNetConfig,
    /// Its codec.
    pub vae: CodecConfig,
    /// What captions images.
    pub captioner: CaptionerConfig,
    /// The bottom of the way down is averaged over so many squares in each direction.
    pub pool: usize,
}

impl UNetEncoderConfig {
    /// Positions a side at the bottom of the way down.
    pub fn bottom_side(&self) -> usize {
        let halvings = self.unet.block_out_channels.len().saturating_sub(1);
        (0..halvings).fold(self.unet.sample_size, |side, _| side.div_ceil(2))
    }
}

impl Architecture for UNetEncoderConfig {
    fn pocket() -> Self {
        let vae = AutoencoderConfig::pocket();
        let context = 384;
        Self {
            unet: UNetConfig::pocket(vae.latent_channels, context),
            vae: CodecConfig::AutoencoderKl(vae),
            captioner: CaptionerConfig::Words(WordsConfig {
                encoder: Box::new(EncoderConfig::Vit(VitConfig::pocket())),
                embedding: context,
                vocabulary: 0,
                words: 8,
                context,
            }),
            pool: 2,
        }
    }

    /// That of the diffusion model's images.
    fn side(&self) -> usize {
        self.unet.sample_size.saturating_mul(self.vae.factor())
    }

    fn files(&self, folder: &Path) -> error::Result<Vec<PathBuf>> {
        self.captioner.files(folder)
    }

    fn build(&self, vb: VarBuilder<'_>, folder: &Path) -> Result<Box<dyn ImageEncoder>> {
        Ok(Box::new(WhiteBox::new(self, &vb, folder)?))
    }
}

/// Images that go through the codec together on a graphics processor: by reckoning, four through Stable Diffusion's take
/// 10 GB. On a CPU each thread has one in work.
const DEVICE_AT_ONCE: usize = 4;

/// The white box: `unet.*` learns, `codec.*` and `captioner.*` do not.
pub struct WhiteBox {
    unet: UNetEncoder,
    codec: Box<dyn LatentCodec>,
    captioner: Box<dyn Captioner>,
    /// Brings pixels to the captioner's size, if it has another.
    resample: Option<Resample>,
    pool: usize,
}

impl WhiteBox {
    /// Reads the network, or starts it for training; `folder` is where its captioner is, if that is a model as it was
    /// published.
    ///
    /// # Errors
    /// If the sizes do not fit together, a weight is missing or of another shape, or a file of the captioner is damaged.
    pub fn new(config: &UNetEncoderConfig, vb: &VarBuilder<'_>, folder: &Path) -> Result<Self> {
        let codec = config.vae.open(&frozen(&vb.pp("codec")))?;
        if codec.channels() != config.unet.in_channels {
            candle_core::bail!(
                "a U-Net of {} channels on latents of {}",
                config.unet.in_channels,
                codec.channels()
            );
        }
        let dim = config.unet.cross_attention_dim;
        let captioner = frozen(&vb.pp("captioner"));
        let captioner = config.captioner.open(&captioner, folder, dim)?;
        Ok(Self {
            unet: UNetEncoder::new(&config.unet, &vb.pp("unet"))?,
            codec,
            resample: Resample::new(config.side(), captioner.side(), vb.device())?,
            captioner,
            pool: config.pool.max(1),
        })
    }

    /// Latents and, behind them, the numbers of the caption: (batch, values).
    fn see(&self, pixels: &Tensor) -> Result<Tensor> {
        let caption = match &self.resample {
            Some(resample) => self.captioner.caption(&resample.forward(pixels)?)?,
            None => self.captioner.caption(pixels)?,
        };
        let latents = self.codec.encode(pixels)?.detach().flatten_from(1)?;
        Tensor::cat(&[latents, caption.to_dtype(DType::F32)?], 1)
    }
}

impl ImageEncoder for WhiteBox {
    fn given(&self, pixels: &Tensor) -> Result<Tensor> {
        let images = pixels.dim(0)?;
        let at_once = if pixels.device().is_cpu() {
            1
        } else {
            DEVICE_AT_ONCE
        };
        let seen = (0..images).step_by(at_once).map(|first| {
            let count = at_once.min(images - first);
            self.see(&pixels.narrow(0, first, count)?)
        });
        Tensor::cat(&seen.collect::<Result<Vec<_>>>()?, 0)
    }

    fn learnt(&self, given: &Tensor) -> Result<Tensor> {
        let (batch, values) = given.dims2()?;
        let told = self.captioner.length();
        let Some(length) = values.checked_sub(told) else {
            candle_core::bail!("{values} values are no latents and a caption of {told}");
        };
        let channels = self.codec.channels();
        let side = (length / channels.max(1)).isqrt();
        if channels * side * side != length {
            candle_core::bail!("{length} values are no square of {channels} channels");
        }
        let latents = given
            .narrow(1, 0, length)?
            .reshape((batch, channels, side, side))?;
        let caption = given.narrow(1, length, told)?.to_dtype(DType::U32)?;
        let caption = self.captioner.states(&caption)?;
        let steps = vec![0f32; batch];
        let bottom = self.unet.forward(&latents, &steps, &caption)?.bottom;
        let (batch, height, width, channels) = bottom.dims4()?;
        let (rows, columns) = (height / self.pool, width / self.pool);
        bottom
            .reshape(&[batch, self.pool, rows, self.pool, columns, channels])?
            .mean((2, 4))?
            .reshape((batch, self.width()))
    }

    fn width(&self) -> usize {
        self.pool * self.pool * self.unet.channels()
    }

    fn frozen(&self) -> &'static [&'static str] {
        &["codec.", "captioner."]
    }
}
