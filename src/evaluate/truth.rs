//! Images with their true prompts.

use image::RgbImage;

use crate::pocket::PocketPrompt;

/// An image with its true prompt.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The image.
    pub image: RgbImage,
    /// The prompt.
    pub text: String,
}

impl From<PocketPrompt> for Truth {
    fn from(prompt: PocketPrompt) -> Self {
        Self {
            image: prompt.render(),
            text: prompt.text,
        }
    }
}
