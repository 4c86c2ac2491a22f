//! What a training run reads: images with the embeddings and words of their prompts.

use image::RgbImage;

use crate::error::Result;
use crate::pocket::{PocketPrompt, render};

/// Image-prompt pairs by number.
pub trait TrainingSet: Sync {
    /// Number of pairs.
    fn len(&self) -> usize;

    /// Whether there is no pair.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The image of pair `index` as it is seen in `epoch`.
    ///
    /// # Errors
    /// If the image cannot be read.
    fn image(&self, index: usize, epoch: usize) -> Result<RgbImage>;

    /// The prompt's sentence embedding, a unit vector.
    fn embedding(&self, index: usize) -> &[f32];

    /// Numbers of the vocabulary words that occur in the prompt.
    fn words(&self, index: usize) -> &[u32];
}

/// Pocket prompts whose images are drawn when they are asked for, anew in each epoch.
#[derive(Debug)]
pub struct PocketSet {
    prompts: Vec<PocketPrompt>,
    embeddings: Vec<f32>,
    words: Vec<Vec<u32>>,
}

impl PocketSet {
    /// Puts prompts and their embeddings (row-major) and words together.
    ///
    /// # Panics
    /// If the numbers of rows differ.
    pub fn new(prompts: Vec<PocketPrompt>, embeddings: Vec<f32>, words: Vec<Vec<u32>>) -> Self {
        assert_eq!(prompts.len(), words.len());
        assert!(prompts.is_empty() || embeddings.len().is_multiple_of(prompts.len()));
        Self {
            prompts,
            embeddings,
            words,
        }
    }

    /// The prompts, by number.
    pub fn prompts(&self) -> &[PocketPrompt] {
        &self.prompts
    }

    /// Mean cosine of this set's mean embedding to the embeddings of `other`: what an answer
    /// that knows nothing of the image comes to.
    pub fn mean_embedding_cosine(&self, other: &Self) -> f64 {
        let mut mean = vec![0f64; self.dim()];
        for row in self.embeddings.chunks_exact(self.dim().max(1)) {
            mean.iter_mut()
                .zip(row)
                .for_each(|(mean, value)| *mean += f64::from(*value));
        }
        let norm = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
        let cosine = |row: &[f32]| -> f64 {
            mean.iter()
                .zip(row)
                .map(|(mean, value)| mean * f64::from(*value))
                .sum::<f64>()
                / norm
        };
        let sum: f64 = other
            .embeddings
            .chunks_exact(other.dim().max(1))
            .map(cosine)
            .sum();
        sum / other.len().max(1) as f64
    }

    fn dim(&self) -> usize {
        self.embeddings.len() / self.prompts.len().max(1)
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
        &self.embeddings[index * self.dim()..][..self.dim()]
    }

    fn words(&self, index: usize) -> &[u32] {
        &self.words[index]
    }
}
