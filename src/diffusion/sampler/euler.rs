//! Euler's method on the probability flow (Karras et al., 2022, alg. 2 without churn): latents are
//! clean ones plus noise of standard deviation sigma.

use candle_core::{Result, Tensor};

use super::Sampler;
use crate::diffusion::schedule::NoiseSchedule;

/// See the [module](self).
pub(super) struct Euler {
    timesteps: Vec<usize>,
    /// The noise at each step, and none after the last.
    sigmas: Vec<f64>,
}

impl Euler {
    pub(super) fn new(schedule: &NoiseSchedule, count: usize) -> Self {
        let timesteps = schedule.timesteps(count);
        let mut sigmas: Vec<f64> = timesteps
            .iter()
            .map(|&step| schedule.snr(step).sqrt().recip())
            .collect();
        sigmas.push(0.0);
        Self { timesteps, sigmas }
    }
}

impl Sampler for Euler {
    fn len(&self) -> usize {
        self.timesteps.len()
    }

    fn timestep(&self, number: usize) -> usize {
        self.timesteps[number]
    }

    fn start(&self, noise: &Tensor) -> Result<Tensor> {
        noise * self.sigmas[0].hypot(1.0)
    }

    fn input(&self, latents: &Tensor, number: usize) -> Result<Tensor> {
        latents / self.sigmas[number].hypot(1.0)
    }

    fn step(&self, clean: &Tensor, latents: &Tensor, number: usize) -> Result<Tensor> {
        let keep = self.sigmas[number + 1] / self.sigmas[number];
        (clean * (1.0 - keep))? + (latents * keep)?
    }
}
