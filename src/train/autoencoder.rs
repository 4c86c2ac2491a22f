//! The task of the autoencoder: images through a small latent and back.

use candle_core::{Device, Result as TensorResult, Tensor};

use super::task::{Draw, Loss, Task};
use crate::diffusion::vae::autoencoder::AutoencoderKl;
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::pocket::{PocketPrompt, render};
use crate::random;

/// Weight of the error of differences between neighbours, without which edges and grain blur.
const EDGES_WEIGHT: f64 = 0.5;

/// Weight of the latents' divergence from the standard normal distribution: small, as by Rombach et
/// al. (2022, app. G), so that latents keep what they need.
const DIVERGENCE_WEIGHT: f64 = 3e-4;

/// An autoencoder between pocket images and themselves.
pub struct AutoencoderTask<'a> {
    /// What learns.
    pub network: &'a AutoencoderKl,
    /// How images are made ready for it.
    pub preprocess: &'a Preprocess,
    /// Where it runs.
    pub device: &'a Device,
    /// What it learns from, drawn anew in each epoch.
    pub training: &'a [PocketPrompt],
    /// What it is judged by.
    pub validation: &'a [PocketPrompt],
}

impl AutoencoderTask<'_> {
    /// With `draw` latents are sampled, without it they are the likeliest ones.
    fn loss_on(
        &self,
        prompts: &[PocketPrompt],
        batch: &[usize],
        draw: Option<&mut Draw>,
    ) -> Result<Loss> {
        let epoch = draw.as_ref().map_or(0, |draw| draw.epoch as u64);
        let images: Vec<_> = batch
            .iter()
            .map(|&index| &prompts[index])
            .map(|prompt| render::render(prompt.meaning, prompt.seed.wrapping_add(epoch)))
            .collect();
        let pixels = self.preprocess.batch(&images, self.device)?;
        let posterior = self.network.posterior(&pixels)?;
        let latents = match draw {
            Some(draw) => {
                let shape = posterior.mean().shape();
                let noise = random::normals(&mut draw.rng, shape.elem_count());
                posterior.sample(&Tensor::from_vec(noise, shape, self.device)?)?
            }
            None => posterior.mean().clone(),
        };
        let found = self.network.reconstruct(&latents)?;
        let truth = pixels.permute((0, 2, 3, 1))?.contiguous()?;
        let error = (&found - &truth)?;
        let absolute = error.abs()?.mean_all()?;
        let edges = edges(&error)?;
        let divergence = posterior.divergence()?;
        let total = ((&absolute + (&edges * EDGES_WEIGHT)?)? + (&divergence * DIVERGENCE_WEIGHT)?)?;
        let squared = error.detach().sqr()?.mean_all()?;
        let parts = [squared, absolute, edges, divergence];
        let value = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_scalar::<f32>()?)) };
        Ok(Loss {
            total,
            parts: parts.iter().map(value).collect::<Result<_>>()?,
        })
    }
}

/// Mean absolute error of the differences between neighbours, where `error` is (batch, height, width,
/// channels).
fn edges(error: &Tensor) -> TensorResult<Tensor> {
    let along = |dim: usize| -> TensorResult<Tensor> {
        let length = error.dim(dim)? - 1;
        (error.narrow(dim, 1, length)? - error.narrow(dim, 0, length)?)?
            .abs()?
            .mean_all()
    };
    (along(1)? + along(2)?)? * 0.5
}

impl Task for AutoencoderTask<'_> {
    fn len(&self) -> usize {
        self.training.len()
    }

    fn validation_len(&self) -> usize {
        self.validation.len()
    }

    fn parts(&self) -> Vec<&'static str> {
        vec![
            "squared_error",
            "absolute_error",
            "edge_error",
            "divergence",
        ]
    }

    fn loss(&self, batch: &[usize], draw: &mut Draw) -> Result<Loss> {
        self.loss_on(self.training, batch, Some(draw))
    }

    fn validate(&self, batch: &[usize]) -> Result<Loss> {
        self.loss_on(self.validation, batch, None)
    }

    fn score_name(&self) -> &'static str {
        "psnr"
    }

    /// Peak signal-to-noise ratio in decibels, of pixels in [-1, 1].
    fn score(&self, parts: &[f64]) -> f64 {
        10.0 * (4.0 / parts[0]).log10()
    }
}
