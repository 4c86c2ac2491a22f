//! From noise to clean latents, step by step. Each sampler is one file and one line of [`SamplerKind`].

mod ddim;
mod euler;

use std::fmt;
use std::str::FromStr;

use candle_core::{Result, Tensor};

use self::ddim::Ddim;
use self::euler::Euler;
use super::schedule::NoiseSchedule;
use crate::error::Error;

/// A way through the steps. Deterministic: all chance is in the first noise.
pub trait Sampler {
    /// Number of steps.
    fn len(&self) -> usize;

    /// Whether there is no step.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The step of the noise schedule that the network is told at step `number`.
    fn timestep(&self, number: usize) -> usize;

    /// What the sampler starts from, made of standard normal noise.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn start(&self, noise: &Tensor) -> Result<Tensor>;

    /// What the network is given at step `number`: latents of the noise schedule's variance.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn input(&self, latents: &Tensor, number: usize) -> Result<Tensor>;

    /// The latents after step `number`, from those before it and the clean latents predicted there.
    ///
    /// # Errors
    /// If the shapes disagree.
    fn step(&self, clean: &Tensor, latents: &Tensor, number: usize) -> Result<Tensor>;
}

/// The samplers by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SamplerKind {
    /// Denoising diffusion implicit models.
    #[default]
    Ddim,
    /// Euler's method.
    Euler,
}

impl SamplerKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ddim, Self::Euler];

    /// The name, as DiffusionDB writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Euler => "k_euler",
        }
    }

    /// The sampler for `count` steps on a schedule.
    pub fn start(self, schedule: &NoiseSchedule, count: usize) -> Box<dyn Sampler> {
        match self {
            Self::Ddim => Box::new(Ddim::new(schedule, count)),
            Self::Euler => Box::new(Euler::new(schedule, count)),
        }
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SamplerKind {
    type Err = Error;

    fn from_str(text: &str) -> std::result::Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or_else(|| Error::UnknownSampler {
            given: text.to_owned(),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::diffusion::schedule::ScheduleConfig;

    /// For data of one point the perfect network always answers that point: every sampler must end
    /// there, whatever the number of steps.
    #[test]
    fn a_perfect_network_leads_to_the_data() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::pocket()).unwrap();
        let noise = Tensor::new(&[[0.3f32, -1.7, 2.2]], &Device::Cpu).unwrap();
        let truth = Tensor::new(&[[0.5f32, 1.0, -2.0]], &Device::Cpu).unwrap();
        for kind in SamplerKind::ALL {
            for count in [1, 3, 20] {
                let sampler = kind.start(&schedule, count);
                let mut latents = sampler.start(&noise).unwrap();
                for number in 0..sampler.len() {
                    latents = sampler.step(&truth, &latents, number).unwrap();
                }
                let worst = (&latents - &truth)
                    .unwrap()
                    .abs()
                    .unwrap()
                    .max_all()
                    .unwrap();
                assert!(worst.to_scalar::<f32>().unwrap() < 1e-4, "{kind} {count}");
            }
        }
    }

    /// For normal data of variance v the clean latents are known at every step, and both samplers
    /// follow the same flow: with many steps they end at the same place, of variance v.
    #[test]
    fn with_many_steps_all_samplers_agree_on_normal_data() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::pocket()).unwrap();
        let (noise, variance) = (Tensor::new(&[1f32], &Device::Cpu).unwrap(), 0.25f64);
        let end = |kind: SamplerKind| -> f64 {
            let sampler = kind.start(&schedule, 1000);
            let mut latents = sampler.start(&noise).unwrap();
            for number in 0..sampler.len() {
                let input = sampler.input(&latents, number).unwrap();
                let signal = schedule.alpha_bar(sampler.timestep(number));
                let gain = signal.sqrt() * variance / (signal * variance + 1.0 - signal);
                let clean = (input * gain).unwrap();
                latents = sampler.step(&clean, &latents, number).unwrap();
            }
            f64::from(latents.to_vec1::<f32>().unwrap()[0])
        };
        for kind in SamplerKind::ALL {
            assert!(
                (end(kind) - variance.sqrt()).abs() < 0.01,
                "{kind}: {}",
                end(kind)
            );
        }
    }

    #[test]
    fn names_go_there_and_back() {
        for kind in SamplerKind::ALL {
            assert_eq!(kind.name().parse::<SamplerKind>().unwrap(), kind);
        }
        let error = "plms".parse::<SamplerKind>().unwrap_err();
        assert!(error.to_string().contains("ddim or k_euler"), "{error}");
    }
}
