//! What the white box's U-Net is told of an image: a caption.

mod sentences;
mod words;

use std::path::{Path, PathBuf};

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub(crate) use self::sentences::BLIP_FOLDER;
use self::sentences::Sentences;
pub use self::sentences::SentencesConfig;
use self::words::Words;
pub use self::words::WordsConfig;
use crate::diffusion::context::Context;
use crate::error;

/// Which captions; in JSON the settings of either.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CaptionerConfig {
    /// The likeliest words of a black-box model.
    Words(WordsConfig),
    /// What a BLIP writes.
    Sentences(SentencesConfig),
}

impl<'de> Deserialize<'de> for CaptionerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let settings = Value::deserialize(deserializer)?;
        let read = match settings.get("captioner_sha256") {
            Some(_) => serde_json::from_value(settings).map(Self::Sentences),
            None => serde_json::from_value(settings).map(Self::Words),
        };
        read.map_err(D::Error::custom)
    }
}

impl CaptionerConfig {
    /// Files that it reads beside the weights, by their paths below `folder`.
    pub(super) fn files(&self, folder: &Path) -> error::Result<Vec<PathBuf>> {
        match self {
            Self::Words(config) => config.encoder.files(folder),
            Self::Sentences(_) => sentences::files(folder),
        }
    }

    /// Reads the captioner, or starts it; `folder` is where its [`files`](Self::files) are, and each token of a caption is
    /// told as `dim` numbers.
    ///
    /// # Errors
    /// If a weight is missing or of another shape, or a file is damaged.
    pub(super) fn open(
        &self,
        vb: &VarBuilder<'_>,
        folder: &Path,
        dim: usize,
    ) -> Result<Box<dyn Captioner>> {
        Ok(match self {
            Self::Words(config) => Box::new(Words::new(config, vb, folder)?),
            Self::Sentences(config) => Box::new(Sentences::open(config, folder, dim, vb.device())?),
        })
    }
}

/// Captions for images. They are handed on as numbers, whole and far below 2^24, so that `f32` holds them.
pub(super) trait Captioner: Send + Sync {
    /// Width and height of the images that it takes, in pixels.
    fn side(&self) -> usize;

    /// Numbers of a caption.
    fn length(&self) -> usize;

    /// The captions of (batch, 3, side, side) within [-1, 1]: (batch, length) of `u32`.
    ///
    /// # Errors
    /// If the pixels have another shape.
    fn caption(&self, pixels: &Tensor) -> Result<Tensor>;

    /// What captions say, (batch, length), without a gradient.
    ///
    /// # Errors
    /// If a number stands for nothing.
    fn states(&self, caption: &Tensor) -> Result<Context>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_apart_and_a_missing_one_is_named() {
        let sentences = serde_json::json!({"captioner_sha256": "0a", "beams": 3});
        let read: CaptionerConfig = serde_json::from_value(sentences.clone()).unwrap();
        assert!(matches!(read, CaptionerConfig::Sentences(_)));
        assert_eq!(serde_json::to_value(read).unwrap(), sentences);
        for (settings, missing) in [(r#"{"captioner_sha256": ""}"#, "beams"), ("{}", "encoder")] {
            let error = serde_json::from_str::<CaptionerConfig>(settings).unwrap_err();
            assert!(error.to_string().contains(missing), "{error}");
        }
    }
}
