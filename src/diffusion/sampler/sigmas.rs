//! Steps by their noise: latents are clean ones plus noise of standard deviation sigma (Karras et al., 2022).

use candle_core::{Result, Tensor};

use crate::diffusion::schedule::{NoiseSchedule, PredictionType, TimestepSpacing};

/// The steps of a sampler, and the noise at each.
pub(super) struct Sigmas {
    pub(super) timesteps: Vec<f64>,
    /// At each step, and none after the last.
    pub(super) sigmas: Vec<f64>,
    spacing: TimestepSpacing,
    predicts: PredictionType,
}

impl Sigmas {
    /// `count` steps, evenly from first to last where the schedule does not say how.
    pub(super) fn new(schedule: &NoiseSchedule, count: usize) -> Self {
        let spacing = schedule.config().timestep_spacing;
        let timesteps = schedule.exact_timesteps(count, TimestepSpacing::Linspace);
        let mut sigmas: Vec<f64> = timesteps.iter().map(|&step| schedule.sigma(step)).collect();
        sigmas.push(0.0);
        Self {
            timesteps,
            sigmas,
            spacing: spacing.unwrap_or(TimestepSpacing::Linspace),
            predicts: schedule.config().prediction_type,
        }
    }

    /// What a sampler starts from. Where the last step is left out, its noise stands beside a signal.
    pub(super) fn start(&self, noise: &Tensor) -> Result<Tensor> {
        let most = self.sigmas.iter().copied().fold(0.0, f64::max);
        match self.spacing {
            TimestepSpacing::Leading => noise * most.hypot(1.0),
            TimestepSpacing::Trailing | TimestepSpacing::Linspace => noise * most,
        }
    }

    /// Latents of the noise schedule's variance.
    pub(super) fn input(&self, latents: &Tensor, number: usize) -> Result<Tensor> {
        latents / self.sigmas[number].hypot(1.0)
    }

    /// How latents change with sigma at a step: the derivative of the probability flow.
    pub(super) fn slope(&self, output: &Tensor, latents: &Tensor, number: usize) -> Result<Tensor> {
        let sigma = self.sigmas[number];
        let alpha_bar = 1.0 / (1.0 + sigma * sigma);
        let input = self.input(latents, number)?;
        let clean = self.predicts.clean(output, &input, alpha_bar)?;
        (latents - clean)? / sigma
    }
}
