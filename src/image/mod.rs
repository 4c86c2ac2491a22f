//! Images to vectors: decoding with limits, preprocessing, and the encoders.

pub mod decode;
pub mod preprocess;
pub mod vit;

use candle_core::{Result, Tensor};

/// A network that turns images into feature vectors.
///
/// An encoder is one file beside this one and one variant of
/// [`EncoderConfig`](crate::predictor::config::EncoderConfig).
pub trait ImageEncoder: Send + Sync {
    /// Features of a batch. In (batch, 3, side, side) as [`preprocess::Preprocess`] makes them,
    /// out (batch, [`width`](ImageEncoder::width)).
    ///
    /// # Errors
    /// If the input has another shape.
    fn forward(&self, pixels: &Tensor) -> Result<Tensor>;

    /// Length of a feature vector.
    fn width(&self) -> usize;

    /// Width and height of the input in pixels.
    fn side(&self) -> usize;
}
