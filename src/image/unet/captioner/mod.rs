//! What the white box's U-Net is told of an image: a caption.

mod sentences;
mod words;

use std::path::Path;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use self::sentences::Sentences;
pub use self::sentences::SentencesConfig;
pub(crate) use self::sentences::{BLIP_FOLDER, CAPTIONER_FOLDERS};
use self::words::Words;
pub use self::words::WordsConfig;
use crate::diffusion::context::Context;

/// Which captions, by what their settings are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CaptionerConfig {
    /// The likeliest words of a black-box model.
    Words(WordsConfig),
    /// What a BLIP writes.
    Sentences(SentencesConfig),
}

impl CaptionerConfig {
    /// Folders, beside the weights, of files that it reads.
    pub(super) fn folders(&self) -> &'static [&'static str] {
        match self {
            Self::Words(_) => &[],
            Self::Sentences(_) => &CAPTIONER_FOLDERS,
        }
    }

    /// Reads the captioner, or starts it; `folder` is where its [`folders`](Self::folders) are.
    ///
    /// # Errors
    /// If a weight is missing or of another shape, or a file is damaged.
    pub(super) fn open(&self, vb: &VarBuilder<'_>, folder: &Path) -> Result<Box<dyn Captioner>> {
        Ok(match self {
            Self::Words(config) => Box::new(Words::new(config, vb, folder)?),
            Self::Sentences(config) => Box::new(Sentences::open(config, folder, vb.device())?),
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
