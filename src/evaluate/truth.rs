//! Images with their true prompts.

use std::ops::ControlFlow;

use image::RgbImage;

use crate::error::Result;
use crate::pocket::PocketPrompt;
use crate::text::{Embeddings, SentenceEncoder};

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

/// Images with the embeddings of their prompts.
#[derive(Debug)]
pub(super) struct Truths<'a> {
    pub(super) all: &'a [Truth],
    /// One for each, in order.
    pub(super) embeddings: Embeddings,
}

impl<'a> Truths<'a> {
    /// Those of test images and of known ones; `observe` is told of prompts embedded, of how many.
    ///
    /// # Errors
    /// As for [`SentenceEncoder::embed_with`].
    pub(super) fn of_both(
        tests: &'a [Truth],
        known: &'a [Truth],
        sentences: &SentenceEncoder,
        observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(Self, Self)> {
        let total = tests.len() + known.len();
        let mut embed = |all: &'a [Truth], before: usize| -> Result<Self> {
            let texts: Vec<&str> = all.iter().map(|truth| truth.text.as_str()).collect();
            let embeddings = sentences.embed_with(&texts, |done| observe(before + done, total))?;
            Ok(Self { all, embeddings })
        };
        Ok((embed(tests, 0)?, embed(known, tests.len())?))
    }
}
