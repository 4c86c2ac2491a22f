//! DPM-Solver++ of second order, multistep (Lu et al., 2022b, alg. 2), with a last step of first order.

use candle_core::{Result, Tensor};

use super::Sampler;
use crate::diffusion::schedule::{NoiseSchedule, PredictionType, TimestepSpacing};

/// See the [module](self).
pub(super) struct DpmSolver {
    timesteps: Vec<f64>,
    /// At each step, and none after the last.
    sigmas: Vec<f64>,
    predicts: PredictionType,
    /// The clean latents that were predicted a step ago.
    before: Option<Tensor>,
}

impl DpmSolver {
    pub(super) fn new(schedule: &NoiseSchedule, count: usize) -> Self {
        // One step more than is taken: the last would be clean latents.
        let timesteps = schedule.open_timesteps(count, TimestepSpacing::Linspace);
        let mut sigmas: Vec<f64> = timesteps.iter().map(|&step| schedule.sigma(step)).collect();
        sigmas.push(0.0);
        Self {
            timesteps,
            sigmas,
            predicts: schedule.config().prediction_type,
            before: None,
        }
    }

    /// What signal and noise are multiplied by at a step.
    fn shares(&self, number: usize) -> (f64, f64) {
        let sigma = self.sigmas[number];
        let signal = 1.0 / sigma.hypot(1.0);
        (signal, sigma * signal)
    }

    /// The logarithm of the ratio of signal to noise.
    fn log_ratio(&self, number: usize) -> f64 {
        -self.sigmas[number].ln()
    }
}

impl Sampler for DpmSolver {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn step(&mut self, output: &Tensor, latents: &Tensor, number: usize) -> Result<Tensor> {
        let ((signal, noise), (next_signal, next_noise)) =
            (self.shares(number), self.shares(number + 1));
        let clean = self.predicts.clean(output, latents, signal * signal)?;
        // Sigma falls, to zero at last: this is exp(-h) of the paper.
        let ratio = self.sigmas[number + 1] / self.sigmas[number];
        let is_last = number + 1 == self.timesteps.len();
        let towards = match self.before.as_ref().filter(|_| !is_last) {
            Some(before) => {
                let width = self.log_ratio(number + 1) - self.log_ratio(number);
                let width_before = self.log_ratio(number) - self.log_ratio(number - 1);
                let share = width / (2.0 * width_before);
                (&clean + ((&clean - before)? * share)?)?
            }
            None => clean.clone(),
        };
        self.before = Some(clean);
        (latents * (next_noise / noise))? + (towards * (next_signal * (1.0 - ratio)))?
    }
}
