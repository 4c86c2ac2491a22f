//! The task of a prompt predictor: embeddings and words of the prompts of images.

use candle_core::{Device, Tensor};

use super::loss::JointLoss;
use super::set::TrainingSet;
use super::task::{Draw, Loss, Task};
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::predictor::network::Network;

/// A network between images and the targets of their prompts.
pub struct JointTask<'a> {
    /// What learns.
    pub network: &'a Network,
    /// How images are made ready for it.
    pub preprocess: &'a Preprocess,
    /// Where it runs.
    pub device: &'a Device,
    /// What it learns from.
    pub training: &'a dyn TrainingSet,
    /// What it is judged by.
    pub validation: &'a dyn TrainingSet,
    /// Whether it has a vocabulary head.
    pub with_words: bool,
}

impl JointTask<'_> {
    fn loss_on(&self, set: &dyn TrainingSet, batch: &[usize], epoch: usize) -> Result<Loss> {
        let images = batch
            .iter()
            .map(|&index| set.image(index, epoch))
            .collect::<Result<Vec<_>>>()?;
        let output = self
            .network
            .forward(&self.preprocess.batch(&images, self.device)?)?;
        let dim = output.embedding.dims2()?.1;
        let mut embeddings = Vec::with_capacity(batch.len() * dim);
        for &index in batch {
            embeddings.extend_from_slice(set.embedding(index));
        }
        let embeddings = Tensor::from_vec(embeddings, (batch.len(), dim), self.device)?;
        let words = match &output.word_logits {
            Some(logits) => Some(self.words(set, batch, logits.dims2()?.1)?),
            None => None,
        };
        let loss = JointLoss::new(&output, &embeddings, words.as_ref())?;
        let value = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_scalar::<f32>()?)) };
        let mut parts = vec![value(&loss.cosine)?, value(&loss.huber)?];
        if let Some(words) = &loss.words {
            parts.push(value(words)?);
        }
        Ok(Loss {
            total: loss.total()?,
            parts,
        })
    }

    /// Which of `count` words occur in the prompts of a batch: (batch, count) of zeros and ones.
    fn words(&self, set: &dyn TrainingSet, batch: &[usize], count: usize) -> Result<Tensor> {
        let mut occurs = vec![0f32; batch.len() * count];
        for (row, &index) in occurs.chunks_exact_mut(count.max(1)).zip(batch) {
            for &word in set.words(index) {
                row[word as usize] = 1.0;
            }
        }
        Ok(Tensor::from_vec(occurs, (batch.len(), count), self.device)?)
    }
}

impl Task for JointTask<'_> {
    fn len(&self) -> usize {
        self.training.len()
    }

    fn validation_len(&self) -> usize {
        self.validation.len()
    }

    fn parts(&self) -> Vec<&'static str> {
        let mut parts = vec!["cosine_loss", "huber_loss"];
        if self.with_words {
            parts.push("words_loss");
        }
        parts
    }

    fn loss(&self, batch: &[usize], draw: &mut Draw) -> Result<Loss> {
        self.loss_on(self.training, batch, draw.epoch)
    }

    fn validate(&self, batch: &[usize]) -> Result<Loss> {
        self.loss_on(self.validation, batch, 0)
    }

    fn score_name(&self) -> &'static str {
        "cosine"
    }

    fn score(&self, parts: &[f64]) -> f64 {
        1.0 - parts[0]
    }
}
