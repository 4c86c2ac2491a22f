//! The task of the attribute checker: the meaning of rendered images.

use candle_core::{Device, Tensor};

use super::task::{Draw, Loss, Task};
use crate::checker::agreement::Agreement;
use crate::checker::{CheckerNetwork, likeliest};
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::pocket::{Meaning, PocketPrompt, render};

/// A checker between pocket images and their meanings.
pub struct AttributeTask<'a> {
    /// What learns.
    pub network: &'a CheckerNetwork,
    /// How images are made ready for it.
    pub preprocess: &'a Preprocess,
    /// Where it runs.
    pub device: &'a Device,
    /// What it learns from, drawn anew in each epoch.
    pub training: &'a [PocketPrompt],
    /// What it is judged by.
    pub validation: &'a [PocketPrompt],
}

impl AttributeTask<'_> {
    fn loss_on(&self, prompts: &[PocketPrompt], batch: &[usize], epoch: usize) -> Result<Loss> {
        let prompts: Vec<&PocketPrompt> = batch.iter().map(|&index| &prompts[index]).collect();
        let images: Vec<_> = prompts
            .iter()
            .map(|prompt| render::render(prompt.meaning, prompt.seed.wrapping_add(epoch as u64)))
            .collect();
        let pixels = self.preprocess.batch(&images, self.device)?;
        let attributes = self.network.forward(&pixels)?;
        let mut total = Tensor::new(0f32, self.device)?;
        for (attribute, scores) in attributes.iter().enumerate() {
            let truth: Vec<u32> = prompts
                .iter()
                .map(|prompt| prompt.meaning.values()[attribute] as u32)
                .collect();
            let truth = Tensor::from_vec(truth, (prompts.len(), 1), self.device)?;
            total = (total - scores.gather(&truth, 1)?.mean_all()?)?;
        }
        let total = (total / Meaning::RADICES.len() as f64)?;
        let said: Vec<Meaning> = prompts.iter().map(|prompt| prompt.meaning).collect();
        let agreement = Agreement::of(&likeliest(&attributes)?, &said);
        let parts = vec![
            f64::from(total.to_scalar::<f32>()?),
            agreement.mean(),
            agreement.all,
        ];
        Ok(Loss { total, parts })
    }
}

impl Task for AttributeTask<'_> {
    fn len(&self) -> usize {
        self.training.len()
    }

    fn validation_len(&self) -> usize {
        self.validation.len()
    }

    fn parts(&self) -> Vec<&'static str> {
        vec!["cross_entropy", "mean_accuracy", "all_right"]
    }

    fn loss(&self, batch: &[usize], draw: &mut Draw) -> Result<Loss> {
        self.loss_on(self.training, batch, draw.epoch)
    }

    fn validate(&self, batch: &[usize]) -> Result<Loss> {
        self.loss_on(self.validation, batch, 0)
    }

    fn score_name(&self) -> &'static str {
        "accuracy"
    }

    /// The accuracy, mean over attributes.
    fn score(&self, parts: &[f64]) -> f64 {
        parts[1]
    }
}
