//! Euler's method on the probability flow (Karras et al., 2022, alg. 2 without churn).

use candle_core::{Result, Tensor};

use super::Sampler;
use super::sigmas::Sigmas;
use crate::diffusion::schedule::NoiseSchedule;

/// See the [module](self).
pub(super) struct Euler {
    steps: Sigmas,
}

impl Euler {
    pub(super) fn new(schedule: &NoiseSchedule, count: usize) -> Self {
        Self {
            steps: Sigmas::new(schedule, count),
        }
    }
}

impl Sampler for Euler {
    fn timesteps(&self) -> &[f64] {
        &self.steps.timesteps
    }

    fn start(&self, noise: &Tensor) -> Result<Tensor> {
        self.steps.start(noise)
    }

    fn input(&self, latents: &Tensor, number: usize) -> Result<Tensor> {
        self.steps.input(latents, number)
    }

    fn step(&mut self, output: &Tensor, latents: &Tensor, number: usize) -> Result<Tensor> {
        let slope = self.steps.slope(output, latents, number)?;
        latents + (slope * (self.steps.sigmas[number + 1] - self.steps.sigmas[number]))?
    }
}
