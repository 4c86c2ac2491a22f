//! Images to vectors: decoding with limits, preprocessing, and the encoders.

pub mod blip;
pub mod clip;
pub mod decode;
pub mod encoders;
pub mod files;
pub mod preprocess;
pub mod published;
pub mod swin;
pub mod unet;
pub mod vit;

use std::path::{Path, PathBuf};

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::error;

/// A network that turns images into feature vectors.
///
/// An encoder is one file or folder beside this one and one line of [`encoders`].
pub trait ImageEncoder: Send + Sync {
    /// Features of a batch. In (batch, 3, side, side) as [`preprocess::Preprocess`] makes them,
    /// out (batch, [`width`](ImageEncoder::width)).
    ///
    /// # Errors
    /// If the input has another shape.
    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        self.learnt(&self.given(pixels)?)
    }

    /// The part of [`forward`](ImageEncoder::forward) that training leaves as it is: (batch, values),
    /// without a gradient; the pixels themselves if nothing is frozen.
    ///
    /// # Errors
    /// If the input has another shape.
    fn given(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(pixels.clone())
    }

    /// The rest of it, from what is given to features.
    ///
    /// # Errors
    /// If the input has another shape.
    fn learnt(&self, given: &Tensor) -> Result<Tensor>;

    /// Length of a feature vector.
    fn width(&self) -> usize;

    /// What the names of those variables begin with that training leaves as they are; no gradient
    /// reaches them.
    fn frozen(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The sizes of an encoder, and what is built of them.
pub trait Architecture {
    /// Sizes that can be trained from nothing on the pocket world's 64 x 64 pixels.
    fn pocket() -> Self
    where
        Self: Sized;

    /// Width and height of the input in pixels.
    fn side(&self) -> usize;

    /// Files that it reads beside the weights, by their paths below `folder`.
    ///
    /// # Errors
    /// If one that lists others is not there or is damaged.
    fn files(&self, _: &Path) -> error::Result<Vec<PathBuf>> {
        Ok(vec![])
    }

    /// Reads the encoder, or starts it for training; `folder` is where its [`files`](Self::files) are.
    ///
    /// # Errors
    /// If the sizes do not fit together, a weight is missing or of another shape, or a file beside them is damaged.
    fn build(&self, vb: VarBuilder<'_>, folder: &Path) -> Result<Box<dyn ImageEncoder>>;
}
