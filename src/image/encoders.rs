//! The image encoders there are, one line each.
//!
//! A line makes an encoder known everywhere: to `config.json`, to training and to the command line.

use std::path::{Path, PathBuf};

use candle_core::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::clip::ClipConfig;
use super::preprocess::{Fit, Preprocess};
use super::swin::SwinConfig;
use super::unet::UNetEncoderConfig;
use super::vit::VitConfig;
use super::{Architecture, ImageEncoder};
use crate::error;

macro_rules! encoders {
    ($($variant:ident($config:ty) = $name:literal, $about:literal;)+) => {
        /// Which encoder, and its sizes: in JSON its name as `model_type`, beside the sizes.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "model_type")]
        pub enum EncoderConfig {
            $(
                #[doc = $about]
                #[serde(rename = $name)]
                $variant($config),
            )+
        }

        /// The name of each encoder, and what it is.
        pub const ENCODERS: &[(&str, &str)] = &[$(($name, $about)),+];

        impl EncoderConfig {
            /// The pocket size of the encoder of this name, which is one of [`ENCODERS`].
            pub fn pocket(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant(<$config>::pocket())),)+
                    _ => None,
                }
            }

            /// The encoder's name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                }
            }

            fn architecture(&self) -> &dyn Architecture {
                match self {
                    $(Self::$variant(config) => config,)+
                }
            }
        }
    };
}

encoders! {
    Vit(VitConfig) = "vit", "Vision transformer";
    Clip(ClipConfig) = "clip", "CLIP's vision tower, frozen, and a perceptron";
    Swin(SwinConfig) = "swin", "Swin Transformer V2";
    UNet(UNetEncoderConfig) = "unet", "The way down of a diffusion model, told a caption: white box";
}

/// Pixels a side of the largest image that an encoder takes.
pub(super) const MAX_SIDE: usize = 1024;

impl EncoderConfig {
    /// The same for all encoders whose frozen variables make the same of an image.
    pub(crate) fn frozen_part(&self) -> Self {
        match self {
            Self::Clip(config) => Self::Clip(ClipConfig {
                trunk_widths: vec![],
                ..config.clone()
            }),
            other => other.clone(),
        }
    }

    /// Width and height of the input in pixels.
    pub fn side(&self) -> usize {
        self.architecture().side()
    }

    /// Refuses sizes that no weight speaks against: an input beyond any encoder's, or another than images are brought to.
    ///
    /// # Errors
    /// If it is one of these.
    pub fn check(&self, preprocess: &Preprocess) -> Result<()> {
        let (side, size) = (self.side(), preprocess.size);
        if !(1..=MAX_SIDE).contains(&side) {
            candle_core::bail!("image_size {side} is not from 1 to {MAX_SIDE}");
        }
        if size != side {
            candle_core::bail!("images are brought to size {size} for an image_size of {side}");
        }
        if let Fit::Crop { shortest_edge, .. } = preprocess.fit
            && !(size..=4 * MAX_SIDE).contains(&shortest_edge)
        {
            candle_core::bail!(
                "an edge of {shortest_edge} pixels is not from {size} to {}",
                4 * MAX_SIDE
            );
        }
        Ok(())
    }

    /// Files that it reads beside the weights, by their paths below `folder`.
    ///
    /// # Errors
    /// If one that lists others is not there or is damaged.
    pub fn files(&self, folder: &Path) -> error::Result<Vec<PathBuf>> {
        self.architecture().files(folder)
    }

    /// Reads the encoder, or starts it for training; `folder` is where its [`files`](Self::files) are.
    ///
    /// # Errors
    /// If the sizes do not fit together, a weight is missing or of another shape, or a file beside them is damaged.
    pub fn build(&self, vb: VarBuilder<'_>, folder: &Path) -> Result<Box<dyn ImageEncoder>> {
        self.architecture().build(vb, folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoder_has_a_pocket_size_that_json_keeps() {
        for (name, _) in ENCODERS {
            let config = EncoderConfig::pocket(name).unwrap();
            assert_eq!(config.name(), *name);
            assert_eq!(config.side(), 64);
            let json = serde_json::to_value(&config).unwrap();
            assert_eq!(json["model_type"], *name);
            let read: EncoderConfig = serde_json::from_value(json).unwrap();
            assert_eq!(read, config);
        }
        assert_eq!(EncoderConfig::pocket("resnet"), None);
    }
}
