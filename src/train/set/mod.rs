//! What a training run reads: images with the embeddings and words of their prompts.

mod folder;
mod pocket;
mod side;

use image::RgbImage;

pub use folder::FolderSet;
pub use pocket::PocketSet;
pub(super) use side::Side;

use crate::error::Result;

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

/// Mean cosine of the mean embedding of `training` to the embeddings of `other`: what an answer that
/// knows nothing of the image comes to.
pub fn mean_embedding_cosine(training: &dyn TrainingSet, other: &dyn TrainingSet) -> f64 {
    let mut mean = vec![];
    for index in 0..training.len() {
        let row = training.embedding(index);
        mean.resize(row.len(), 0f64);
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
    let sum: f64 = (0..other.len())
        .map(|index| cosine(other.embedding(index)))
        .sum();
    sum / other.len().max(1) as f64
}
