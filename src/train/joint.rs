//! The task of a prompt predictor: embeddings and words of the prompts of images.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::features::FeatureCache;
use super::given::Given;
use super::loss::JointLoss;
use super::set::TrainingSet;
use super::task::{Draw, Loss, Task};
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::predictor::network::Network;

/// Images that go through the network together where nothing is learnt.
const BATCH_IMAGES: usize = 32;

/// A network between images and the targets of their prompts.
pub struct JointTask<'a> {
    network: &'a Network,
    device: &'a Device,
    training: Given<'a>,
    validation: Given<'a>,
}

impl<'a> JointTask<'a> {
    /// `network`, which takes images of `preprocess`, learns from `training` on `device` and is judged
    /// by `validation`.
    pub fn new(
        network: &'a Network,
        preprocess: &'a Preprocess,
        device: &'a Device,
        training: &'a dyn TrainingSet,
        validation: &'a dyn TrainingSet,
    ) -> Self {
        let given = |set| Given::new(set, network, preprocess, device);
        Self {
            network,
            device,
            training: given(training),
            validation: given(validation),
        }
    }

    /// The same, with what the frozen variables that `made_by` tells from others make of the images of training and
    /// validation, kept in `cache` where the images are told from others, too.
    pub(super) fn with_features(
        self,
        cache: &FeatureCache,
        made_by: &str,
        images: &[Option<String>; 2],
    ) -> Self {
        let open = |images: &String| cache.open(&format!("{images} by {made_by}"));
        let [training, validation] = images;
        Self {
            training: self.training.with_features(training.as_ref().map(open)),
            validation: self.validation.with_features(validation.as_ref().map(open)),
            ..self
        }
    }

    fn loss_on(&self, set: &Given<'_>, batch: &[usize], epoch: usize) -> Result<Loss> {
        let output = self.network.learnt(&set.batch(batch, epoch)?)?;
        let embeddings = self.embeddings(set.set(), batch)?;
        let words = match &output.word_logits {
            Some(logits) => Some(self.words(set.set(), batch, logits.dims2()?.1)?),
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

    /// The cosine of each training example's predicted embedding to the true one, as seen in `epoch`.
    ///
    /// # Errors
    /// If an image cannot be read or a tensor operation fails.
    pub fn cosines(&self, epoch: usize) -> Result<Vec<f32>> {
        let all: Vec<usize> = (0..self.len()).collect();
        let cosines = all.par_chunks(BATCH_IMAGES).map(|batch| {
            let given = self.training.batch(batch, epoch)?;
            let found = self.network.learnt(&given)?.embedding;
            let true_ones = self.embeddings(self.training.set(), batch)?;
            Ok((found * true_ones)?.sum(1)?.to_vec1()?)
        });
        Ok(cosines.collect::<Result<Vec<Vec<f32>>>>()?.concat())
    }

    /// (batch, dim)
    fn embeddings(&self, set: &dyn TrainingSet, batch: &[usize]) -> Result<Tensor> {
        let rows: Vec<&[f32]> = batch.iter().map(|&index| set.embedding(index)).collect();
        let dim = rows.first().map_or(0, |row| row.len());
        Ok(Tensor::from_vec(
            rows.concat(),
            (batch.len(), dim),
            self.device,
        )?)
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
        self.training.set().len()
    }

    fn validation_len(&self) -> usize {
        self.validation.set().len()
    }

    fn parts(&self) -> Vec<&'static str> {
        let mut parts = vec!["cosine_loss", "huber_loss"];
        if self.network.has_vocabulary() {
            parts.push("words_loss");
        }
        parts
    }

    fn prepare(&self, batch: &[usize], epoch: usize) -> Result<()> {
        self.training.prepare(batch, epoch)
    }

    fn loss(&self, batch: &[usize], draw: &mut Draw) -> Result<Loss> {
        self.loss_on(&self.training, batch, draw.epoch)
    }

    fn validate(&self, batch: &[usize]) -> Result<Loss> {
        self.loss_on(&self.validation, batch, 0)
    }

    fn score_name(&self) -> &'static str {
        "cosine"
    }

    fn score(&self, parts: &[f64]) -> f64 {
        1.0 - parts[0]
    }
}
