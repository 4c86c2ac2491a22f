//! The task of the U-Net: clean latents from noisy ones, told by a prompt (Ho et al., 2020; Rombach et
//! al., 2022, s. 3.3).

use candle_core::{Device, Tensor};
use half::f16;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::task::{Draw, Loss, Task};
use crate::diffusion::context::Context;
use crate::diffusion::schedule::{NoiseSchedule, PredictionType};
use crate::diffusion::unet::UNet;
use crate::error::Result;
use crate::random;
use crate::text::TokenStates;

/// Share of examples that are told the empty prompt, for classifier-free guidance (Ho & Salimans,
/// 2022, alg. 1).
const UNCONDITIONAL: f64 = 0.1;

/// A step's weight is its signal-to-noise ratio within these bounds: below them the coarse layout would
/// not be learnt, above them nothing else (Hang et al., 2023, s. 3.3).
const WEIGHTS: (f64, f64) = (0.5, 5.0);

/// Latents of images with the token states of their prompts, in half precision.
#[derive(Clone, Debug)]
pub struct LatentSet {
    /// Every image's latents, one after the other; all images of a prompt together.
    pub latents: Vec<f16>,
    /// Channels, height and width of latents.
    pub shape: (usize, usize, usize),
    /// Images a prompt.
    pub variants: usize,
    /// The prompts.
    pub states: TokenStates,
}

impl LatentSet {
    fn latents(&self, prompt: usize, variant: usize) -> impl Iterator<Item = f32> {
        let (channels, height, width) = self.shape;
        let length = channels * height * width;
        let image = prompt * self.variants + variant % self.variants.max(1);
        let halves = &self.latents[image * length..][..length];
        halves.iter().map(|half| half.to_f32())
    }
}

/// A U-Net between noisy and clean latents.
pub struct DenoiseTask<'a> {
    /// What learns.
    pub network: &'a UNet,
    /// How noisy a step is.
    pub schedule: &'a NoiseSchedule,
    /// Where it runs.
    pub device: &'a Device,
    /// What it learns from.
    pub training: &'a LatentSet,
    /// What it is judged by.
    pub validation: &'a LatentSet,
    /// Token states of the empty prompt.
    pub empty: &'a [f32],
}

impl DenoiseTask<'_> {
    fn loss_on(&self, set: &LatentSet, batch: &[usize], draw: &mut Draw) -> Result<Loss> {
        let (channels, height, width) = set.shape;
        let shape = (batch.len(), channels, height, width);
        let mut clean = Vec::with_capacity(shape.0 * channels * height * width);
        let mut texts = vec![];
        for &index in batch {
            clean.extend(set.latents(index, draw.epoch));
            texts.push(if draw.rng.random_bool(UNCONDITIONAL) {
                self.empty.to_vec()
            } else {
                set.states.text(index)
            });
        }
        let texts: Vec<&[f32]> = texts.iter().map(Vec::as_slice).collect();
        let context = Context::padded(&texts, set.states.dim(), self.device)?;
        let noise = random::normals(&mut draw.rng, clean.len());
        let noise = Tensor::from_vec(noise, shape, self.device)?;
        let clean = Tensor::from_vec(clean, shape, self.device)?;
        let steps = self.steps(batch.len(), &mut draw.rng);
        let noisy = self.schedule.noisy(&clean, &noise, &steps)?;
        let told: Vec<f32> = steps.iter().map(|&step| step as f32).collect();
        let output = self.network.forward(&noisy, &told, &context)?;
        let target = self.target(&clean, &noise, &steps)?;
        // (batch), mean over each image's latents.
        let errors = (output - target)?.sqr()?.flatten_from(1)?.mean(1)?;
        let weights = steps.iter().map(|&step| self.weight(step) as f32).collect();
        let weights = Tensor::from_vec(weights, batch.len(), self.device)?;
        let total = (&errors * weights)?.mean_all()?;
        let value = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_scalar::<f32>()?)) };
        let parts = vec![value(&errors.mean_all()?)?, value(&total)?];
        Ok(Loss { total, parts })
    }

    /// Steps that are spread evenly over the batch: every step is as likely, and batches are alike.
    fn steps(&self, count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let all = self.schedule.len();
        let shift: f64 = rng.random();
        let place = |number: usize| (number as f64 + shift) / count.max(1) as f64;
        (0..count)
            .map(|number| ((place(number) * all as f64) as usize).min(all.saturating_sub(1)))
            .collect()
    }

    fn target(&self, clean: &Tensor, noise: &Tensor, steps: &[usize]) -> Result<Tensor> {
        Ok(match self.schedule.config().prediction_type {
            PredictionType::Sample => clean.clone(),
            PredictionType::Epsilon => noise.clone(),
            PredictionType::VPrediction => self.schedule.velocity(clean, noise, steps)?,
        })
    }

    /// The weight of a step's squared error in clean latents, for what the network predicts.
    fn weight(&self, step: usize) -> f64 {
        let ratio = self.schedule.snr(step);
        let weight = ratio.clamp(WEIGHTS.0, WEIGHTS.1);
        match self.schedule.config().prediction_type {
            PredictionType::Sample => weight,
            PredictionType::Epsilon => weight / ratio,
            PredictionType::VPrediction => weight / (ratio + 1.0),
        }
    }
}

impl Task for DenoiseTask<'_> {
    fn len(&self) -> usize {
        self.training.states.len()
    }

    fn validation_len(&self) -> usize {
        self.validation.states.len()
    }

    fn parts(&self) -> Vec<&'static str> {
        vec!["squared_error", "weighted_error"]
    }

    fn loss(&self, batch: &[usize], draw: &mut Draw) -> Result<Loss> {
        self.loss_on(self.training, batch, draw)
    }

    fn validate(&self, batch: &[usize]) -> Result<Loss> {
        let seed = batch.first().copied().unwrap_or_default() as u64;
        let mut draw = Draw {
            epoch: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        };
        self.loss_on(self.validation, batch, &mut draw)
    }

    fn score_name(&self) -> &'static str {
        "explained"
    }

    /// The share of the variance that is predicted, mean over all steps.
    fn score(&self, parts: &[f64]) -> f64 {
        1.0 - parts[0]
    }
}
