//! Denoising diffusion implicit models (Song et al., 2021, s. 4.1), without added noise.

use candle_core::{Result, Tensor};

use super::Sampler;
use crate::diffusion::schedule::NoiseSchedule;

/// See the [module](self).
pub(super) struct Ddim {
    timesteps: Vec<usize>,
    /// The signal's share at each step, and after the last.
    alpha_bars: Vec<f64>,
}

impl Ddim {
    pub(super) fn new(schedule: &NoiseSchedule, count: usize) -> Self {
        let timesteps = schedule.timesteps(count);
        let mut alpha_bars: Vec<f64> = timesteps
            .iter()
            .map(|&step| schedule.alpha_bar(step))
            .collect();
        alpha_bars.push(schedule.final_alpha_bar());
        Self {
            timesteps,
            alpha_bars,
        }
    }
}

impl Sampler for Ddim {
    fn len(&self) -> usize {
        self.timesteps.len()
    }

    fn timestep(&self, number: usize) -> usize {
        self.timesteps[number]
    }

    fn start(&self, noise: &Tensor) -> Result<Tensor> {
        Ok(noise.clone())
    }

    fn input(&self, latents: &Tensor, _: usize) -> Result<Tensor> {
        Ok(latents.clone())
    }

    fn step(&self, clean: &Tensor, latents: &Tensor, number: usize) -> Result<Tensor> {
        let (now, next) = (self.alpha_bars[number], self.alpha_bars[number + 1]);
        // The noise that stands beside the predicted signal is scaled to what the next step has.
        let keep = ((1.0 - next) / (1.0 - now)).sqrt();
        (clean * (next.sqrt() - keep * now.sqrt()))? + (latents * keep)?
    }
}
