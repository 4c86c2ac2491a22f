//! The task of CLIP's tower before it is frozen: which prompt belongs to which image.

use candle_core::{Device, Tensor};
use candle_nn::Module;

use super::contrastive::Contrast;
use super::set::TrainingSet;
use super::task::{Draw, Loss, Task};
use crate::error::Result;
use crate::image::clip::ClipTower;
use crate::image::preprocess::Preprocess;

/// A tower between images and the embeddings of their prompts.
pub struct ContrastTask<'a> {
    /// What learns.
    pub tower: &'a ClipTower,
    /// The text side, which learns with it.
    pub contrast: &'a Contrast,
    /// How images are made ready.
    pub preprocess: &'a Preprocess,
    /// Where it runs.
    pub device: &'a Device,
    /// What it learns from.
    pub training: &'a dyn TrainingSet,
    /// What it is judged by.
    pub validation: &'a dyn TrainingSet,
}

impl ContrastTask<'_> {
    fn loss_on(&self, set: &dyn TrainingSet, batch: &[usize], epoch: usize) -> Result<Loss> {
        let images = batch
            .iter()
            .map(|&index| set.image(index, epoch))
            .collect::<Result<Vec<_>>>()?;
        let features = self
            .tower
            .forward(&self.preprocess.batch(&images, self.device)?)?;
        let embeddings: Vec<f32> = batch
            .iter()
            .flat_map(|&index| set.embedding(index))
            .copied()
            .collect();
        let embeddings = Tensor::from_vec(embeddings, (batch.len(), ()), self.device)?;
        let total = self.contrast.loss(&features, &embeddings)?;
        let parts = vec![f64::from(total.to_scalar::<f32>()?)];
        Ok(Loss { total, parts })
    }
}

impl Task for ContrastTask<'_> {
    fn len(&self) -> usize {
        self.training.len()
    }

    fn validation_len(&self) -> usize {
        self.validation.len()
    }

    fn parts(&self) -> Vec<&'static str> {
        vec!["contrastive_loss"]
    }

    fn loss(&self, batch: &[usize], draw: &mut Draw) -> Result<Loss> {
        self.loss_on(self.training, batch, draw.epoch)
    }

    fn validate(&self, batch: &[usize]) -> Result<Loss> {
        self.loss_on(self.validation, batch, 0)
    }

    fn score_name(&self) -> &'static str {
        "negative_loss"
    }

    fn score(&self, parts: &[f64]) -> f64 {
        -parts[0]
    }
}
