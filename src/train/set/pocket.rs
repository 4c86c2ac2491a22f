//! Pairs of the pocket world.

use image::RgbImage;

use super::TrainingSet;
use crate::error::Result;
use crate::pocket::{PocketPrompt, render};
use crate::train::targets::Targets;

/// Pocket prompts whose images are drawn when they are asked for, anew in each epoch.
#[derive(Debug)]
pub struct PocketSet {
    prompts: Vec<PocketPrompt>,
    targets: Targets,
}

impl PocketSet {
    /// Puts prompts and their embeddings (row-major) and words together.
    ///
    /// # Panics
    /// If the numbers of rows differ.
    pub fn new(prompts: Vec<PocketPrompt>, embeddings: Vec<f32>, words: Vec<Vec<u32>>) -> Self {
        assert_eq!(prompts.len(), words.len());
        let targets = Targets::new(embeddings, words);
        Self { prompts, targets }
    }
}

impl TrainingSet for PocketSet {
    fn len(&self) -> usize {
        self.prompts.len()
    }

    fn image(&self, index: usize, epoch: usize) -> Result<RgbImage> {
        let prompt = &self.prompts[index];
        Ok(render::render(
            prompt.meaning,
            prompt.seed.wrapping_add(epoch as u64),
        ))
    }

    fn embedding(&self, index: usize) -> &[f32] {
        self.targets.embedding(index)
    }

    fn words(&self, index: usize) -> &[u32] {
        self.targets.words(index)
    }
}
