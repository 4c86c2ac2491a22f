//! One row of a source.

use unprompt_index::ImageRecord;

/// A prompt, and the image that was made from it where the source names one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The prompt, without white space around it; never empty as a source gives it.
    pub prompt: String,
    /// The image.
    pub image: Option<ImageRecord>,
    /// The prompt's embedding, a unit vector, where the source has one.
    pub vector: Option<Vec<f32>>,
}
