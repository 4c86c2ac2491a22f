//! One row of a data file.

use unprompt_index::ImageRecord;

/// A prompt, and the image that was made from it where the file names one.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The prompt, without white space around it; never empty.
    pub prompt: String,
    /// The image.
    pub image: Option<ImageRecord>,
}
