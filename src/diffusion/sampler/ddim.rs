//! Denoising diffusion implicit models (Song et al., 2021, s. 4.1), without added noise.

use candle_core::{Result, Tensor};

use super::Sampler;
use crate::diffusion::schedule::{NoiseSchedule, PredictionType, TimestepSpacing};

/// See the [module](self).
pub(super) struct Ddim {
    timesteps: Vec<f64>,
    /// The signal's share at each step, and after the last.
    alpha_bars: Vec<f64>,
    predicts: PredictionType,
}

impl Ddim {
    pub(super) fn new(schedule: &NoiseSchedule, count: usize) -> Self {
        let timesteps = schedule.timesteps(count, TimestepSpacing::Leading);
        let mut alpha_bars: Vec<f64> = timesteps
            .iter()
            .map(|&step| schedule.alpha_bar(step as usize))
            .collect();
        alpha_bars.push(schedule.final_alpha_bar());
        Self {
            timesteps,
            alpha_bars,
            predicts: schedule.config().prediction_type,
        }
    }
}

impl Sampler for Ddim {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn step(&mut self, output: &Tensor, latents: &Tensor, number: usize) -> Result<Tensor> {
        let (now, next) = (self.alpha_bars[number], self.alpha_bars[number + 1]);
        let clean = self.predicts.clean(output, latents, now)?;
        // The noise that stands beside the predicted signal is scaled to what the next step has.
        let keep = ((1.0 - next) / (1.0 - now)).sqrt();
        (clean * (next.sqrt() - keep * now.sqrt()))? + (latents * keep)?
    }
}
