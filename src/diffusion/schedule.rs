//! How much noise there is at each step (Ho et al., 2020), under the keys of diffusers'
//! `scheduler_config.json`.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// How the noise grows with the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Variances evenly spaced (Ho et al., 2020, s. 4).
    Linear,
    /// Their roots evenly spaced (Rombach et al., 2022).
    ScaledLinear,
    /// By a squared cosine (Nichol & Dhariwal, 2021, s. 3.2).
    SquaredcosCapV2,
}

/// What the network predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise.
    Epsilon,
    /// The clean latents.
    Sample,
    /// `sqrt(signal) noise - sqrt(1 - signal) clean` (Salimans & Ho, 2022, s. 4).
    VPrediction,
}

/// Which of the steps a sampler takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Counted from the first: Stable Diffusion 1 and 2 with DDIM.
    Leading,
    /// Counted from the last, which is always taken (Lin et al., 2024, s. 3.3).
    Trailing,
    /// Evenly from first to last.
    Linspace,
}

/// Settings of a noise schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleConfig {
    /// Steps from clean to noise.
    pub num_train_timesteps: usize,
    /// The first variance; not used by the squared cosine.
    pub beta_start: f64,
    /// The last variance; not used by the squared cosine.
    pub beta_end: f64,
    /// How the noise grows.
    pub beta_schedule: BetaSchedule,
    /// What the network predicts.
    #[serde(default = "epsilon")]
    pub prediction_type: PredictionType,
    /// Which steps a sampler takes; its own choice where this is silent.
    #[serde(default)]
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Added to each step by leading spacing.
    #[serde(default)]
    pub steps_offset: usize,
    /// Whether what is left after the last step counts as clean.
    #[serde(default = "yes")]
    pub set_alpha_to_one: bool,
}

fn epsilon() -> PredictionType {
    PredictionType::Epsilon
}

fn yes() -> bool {
    true
}

impl ScheduleConfig {
    /// The pocket model's: ends in pure noise, so that sampling begins where training was; predicts
    /// clean latents, which learnt fastest.
    pub fn pocket() -> Self {
        Self {
            num_train_timesteps: 1000,
            beta_start: 0.00085,
            beta_end: 0.012,
            beta_schedule: BetaSchedule::SquaredcosCapV2,
            prediction_type: PredictionType::Sample,
            timestep_spacing: Some(TimestepSpacing::Trailing),
            steps_offset: 0,
            set_alpha_to_one: true,
        }
    }
}

/// A noise schedule: the share of signal in the variance at each step.
#[derive(Clone, Debug)]
pub struct NoiseSchedule {
    config: ScheduleConfig,
    /// `alpha_bar`, falling from nearly 1.
    alpha_bar: Vec<f64>,
}

/// More than any model is trained with.
const MAX_TIMESTEPS: usize = 100_000;

impl NoiseSchedule {
    /// The schedule of these settings.
    ///
    /// # Errors
    /// If it has no steps, or a variance is not within (0, 1).
    pub fn new(config: &ScheduleConfig) -> Result<Self> {
        let inside = |beta: f64| beta > 0.0 && beta < 1.0;
        if !(1..=MAX_TIMESTEPS).contains(&config.num_train_timesteps)
            || ![config.beta_start, config.beta_end]
                .map(inside)
                .iter()
                .all(|it| *it)
        {
            candle_core::bail!(
                "a noise schedule needs num_train_timesteps from 1 to {MAX_TIMESTEPS}, beta_start and beta_end within (0, 1)"
            );
        }
        let count = config.num_train_timesteps;
        let along = |step: usize| step as f64 / (count.max(2) - 1) as f64;
        let between = |from: f64, to: f64, step| from + (to - from) * along(step);
        let beta = |step: usize| match config.beta_schedule {
            BetaSchedule::Linear => between(config.beta_start, config.beta_end, step),
            BetaSchedule::ScaledLinear => {
                between(config.beta_start.sqrt(), config.beta_end.sqrt(), step).powi(2)
            }
            BetaSchedule::SquaredcosCapV2 => {
                let left = |step: usize| {
                    let share = (step as f64 / count as f64 + 0.008) / 1.008;
                    (share * std::f64::consts::FRAC_PI_2).cos().powi(2)
                };
                (1.0 - left(step + 1) / left(step)).min(0.999)
            }
        };
        let alpha_bar = (0..count)
            .scan(1.0, |signal, step| {
                *signal *= 1.0 - beta(step);
                Some(*signal)
            })
            .collect();
        Ok(Self {
            config: config.clone(),
            alpha_bar,
        })
    }

    /// Its settings.
    pub fn config(&self) -> &ScheduleConfig {
        &self.config
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.alpha_bar.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.alpha_bar.is_empty()
    }

    /// The signal's share of the variance at `step`.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn alpha_bar(&self, step: usize) -> f64 {
        self.alpha_bar[step]
    }

    /// Signal-to-noise ratio at `step`.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn snr(&self, step: usize) -> f64 {
        self.alpha_bar[step] / (1.0 - self.alpha_bar[step])
    }

    /// The signal's share after the last step of sampling.
    pub(super) fn final_alpha_bar(&self) -> f64 {
        match self.alpha_bar.first() {
            Some(first) if !self.config.set_alpha_to_one => *first,
            _ => 1.0,
        }
    }

    /// The noise beside a signal of unit variance at `step`, which may lie between two steps.
    pub(super) fn sigma(&self, step: f64) -> f64 {
        let at = |step: usize| self.snr(step.min(self.len() - 1)).sqrt().recip();
        let (below, share) = (step.floor(), step.fract());
        at(below as usize) * (1.0 - share) + at(below as usize + 1) * share
    }

    /// The steps that a sampler takes in `count`, from noise to clean; `usual` is how it spaces them where
    /// the schedule is silent.
    pub(super) fn timesteps(&self, count: usize, usual: TimestepSpacing) -> Vec<f64> {
        let exact = self.exact_timesteps(count, usual);
        exact.into_iter().map(f64::round_ties_even).collect()
    }

    /// The same, not rounded where they are spaced evenly.
    pub(super) fn exact_timesteps(&self, count: usize, usual: TimestepSpacing) -> Vec<f64> {
        self.spaced(count, count, usual)
    }

    /// The steps of a sampler that comes to clean latents by a further step: `count` of `count + 1`.
    pub(super) fn open_timesteps(&self, count: usize, usual: TimestepSpacing) -> Vec<f64> {
        let steps = self.spaced(count, count + 1, usual);
        steps.into_iter().map(f64::round_ties_even).collect()
    }

    /// The first `count` steps of `parts`, from noise to clean.
    fn spaced(&self, count: usize, parts: usize, usual: TimestepSpacing) -> Vec<f64> {
        let (all, count) = (self.len(), count.clamp(1, self.len()));
        let parts = parts.clamp(count, all.max(count));
        let last = (all - 1) as f64;
        let step = |number: usize| match self.config.timestep_spacing.unwrap_or(usual) {
            TimestepSpacing::Leading => {
                let step = (parts - 1 - number) * (all / parts) + self.config.steps_offset;
                (step as f64).min(last)
            }
            // A further step would be before the first: it is never among these.
            TimestepSpacing::Trailing => {
                let step = all as f64 - (number * all) as f64 / count as f64;
                (step.round_ties_even() - 1.0).max(0.0)
            }
            TimestepSpacing::Linspace if parts == 1 => 0.0,
            TimestepSpacing::Linspace => last * (parts - 1 - number) as f64 / (parts - 1) as f64,
        };
        (0..count).map(step).collect()
    }

    /// Noisy latents: `clean` and standard normal `noise` mixed as at each image's step, (batch, ..).
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn noisy(&self, clean: &Tensor, noise: &Tensor, steps: &[usize]) -> Result<Tensor> {
        let (signal, rest) = self.weights(clean, steps)?;
        clean.broadcast_mul(&signal)? + noise.broadcast_mul(&rest)?
    }

    /// What a network of [`PredictionType::VPrediction`] is to answer at each image's step.
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn velocity(&self, clean: &Tensor, noise: &Tensor, steps: &[usize]) -> Result<Tensor> {
        let (signal, rest) = self.weights(clean, steps)?;
        noise.broadcast_mul(&signal)? - clean.broadcast_mul(&rest)?
    }

    /// What signal and noise are multiplied by at each step, to be broadcast over `x`.
    fn weights(&self, x: &Tensor, steps: &[usize]) -> Result<(Tensor, Tensor)> {
        let column = |of: &dyn Fn(f64) -> f64| -> Result<Tensor> {
            let values: Vec<f32> = steps
                .iter()
                .map(|&step| of(self.alpha_bar[step]).sqrt() as f32)
                .collect();
            let mut dims = vec![1; x.rank()];
            dims[0] = steps.len();
            Tensor::from_vec(values, dims, x.device())
        };
        Ok((column(&|signal| signal)?, column(&|signal| 1.0 - signal)?))
    }

    /// The clean latents that the network's `output` on `noisy` latents at `step` stands for.
    ///
    /// # Errors
    /// If the shapes disagree.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn clean(&self, output: &Tensor, noisy: &Tensor, step: usize) -> Result<Tensor> {
        let predicts = self.config.prediction_type;
        predicts.clean(output, noisy, self.alpha_bar[step])
    }
}

impl PredictionType {
    /// The clean latents that a network's `output` stands for, on `noisy` latents in whose variance the signal
    /// has the share `alpha_bar`.
    pub(super) fn clean(self, output: &Tensor, noisy: &Tensor, alpha_bar: f64) -> Result<Tensor> {
        let (signal, noise) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        match self {
            Self::Sample => Ok(output.clone()),
            Self::Epsilon => (noisy - (output * noise)?)? / signal,
            Self::VPrediction => (noisy * signal)? - (output * noise)?,
        }
    }

    /// The noise that it stands for.
    pub(super) fn noise(self, output: &Tensor, noisy: &Tensor, alpha_bar: f64) -> Result<Tensor> {
        let (signal, noise) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        match self {
            Self::Sample => (noisy - (output * signal)?)? / noise,
            Self::Epsilon => Ok(output.clone()),
            Self::VPrediction => (output * signal)? + (noisy * noise)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn schedule(beta_schedule: BetaSchedule) -> NoiseSchedule {
        NoiseSchedule::new(&ScheduleConfig {
            beta_schedule,
            ..ScheduleConfig::pocket()
        })
        .unwrap()
    }

    // diffusers 0.42: DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=...)
    // .alphas_cumprod[[0, 500, 999]]
    #[test]
    fn signals_are_those_of_the_reference() {
        for (kind, expected) in [
            (BetaSchedule::Linear, REFERENCE[0]),
            (BetaSchedule::ScaledLinear, REFERENCE[1]),
            (BetaSchedule::SquaredcosCapV2, REFERENCE[2]),
        ] {
            let schedule = schedule(kind);
            for (step, expected) in [0, 500, 999].into_iter().zip(expected) {
                let found = schedule.alpha_bar(step);
                assert!(
                    (found / expected - 1.0).abs() < 1e-4,
                    "{kind:?} {step}: {found}"
                );
            }
        }
    }

    const REFERENCE: [[f64; 3]; 3] = [
        [0.999_149_98, 0.160_771_62, 1.578_962_8e-3],
        [0.999_149_98, 0.276_332_47, 4.660_095_1e-3],
        [0.999_958_69, 0.492_285_04, 2.428_735e-9],
    ];

    #[test]
    fn every_kind_of_prediction_gives_back_the_clean_latents() {
        let tensor = |factor: f32| {
            let values: Vec<f32> = (0..24).map(|i| (i as f32 * factor).sin()).collect();
            Tensor::from_vec(values, (2, 3, 2, 2), &Device::Cpu).unwrap()
        };
        let (clean, noise, step) = (tensor(0.7), tensor(1.9), 400);
        for prediction_type in [
            PredictionType::Epsilon,
            PredictionType::Sample,
            PredictionType::VPrediction,
        ] {
            let schedule = NoiseSchedule::new(&ScheduleConfig {
                prediction_type,
                ..ScheduleConfig::pocket()
            })
            .unwrap();
            let noisy = schedule.noisy(&clean, &noise, &[step; 2]).unwrap();
            let output = match prediction_type {
                PredictionType::Epsilon => noise.clone(),
                PredictionType::Sample => clean.clone(),
                PredictionType::VPrediction => {
                    schedule.velocity(&clean, &noise, &[step; 2]).unwrap()
                }
            };
            let found = schedule.clean(&output, &noisy, step).unwrap();
            let worst = (found - &clean).unwrap().abs().unwrap().max_all().unwrap();
            assert!(
                worst.to_scalar::<f32>().unwrap() < 1e-5,
                "{prediction_type:?}"
            );
        }
    }

    #[test]
    fn steps_fall_and_are_as_many_as_asked() {
        for spacing in [
            TimestepSpacing::Leading,
            TimestepSpacing::Trailing,
            TimestepSpacing::Linspace,
        ] {
            let schedule = NoiseSchedule::new(&ScheduleConfig {
                timestep_spacing: Some(spacing),
                ..ScheduleConfig::pocket()
            })
            .unwrap();
            for count in [1, 2, 7, 50, 1000] {
                let steps = schedule.timesteps(count, TimestepSpacing::Leading);
                assert_eq!(steps.len(), count);
                assert!(steps.windows(2).all(|pair| pair[0] > pair[1]), "{steps:?}");
                assert!(steps.iter().all(|&step| (0.0..1000.0).contains(&step)));
            }
        }
        let schedule = schedule(BetaSchedule::SquaredcosCapV2);
        assert_eq!(
            schedule.timesteps(4, TimestepSpacing::Leading),
            [999.0, 749.0, 499.0, 249.0]
        );
    }
}
