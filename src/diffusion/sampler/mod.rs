//! From noise to clean latents, step by step. Each sampler is one file and one line of [`SamplerKind`].

mod ddim;
mod dpm;
mod euler;
mod lms;
mod pndm;
mod sigmas;

use std::fmt;
use std::str::FromStr;

use candle_core::{Result, Tensor};

use self::ddim::Ddim;
use self::dpm::DpmSolver;
use self::euler::Euler;
use self::lms::LinearMultistep;
use self::pndm::Pndm;
use super::schedule::NoiseSchedule;
use crate::error::Error;

/// A way through the steps. Deterministic: all chance is in the first noise.
///
/// The steps that it takes are the schedule's where that says which; otherwise those that diffusers' class of
/// the same name takes.
pub trait Sampler {
    /// The steps of the noise schedule that the network is told, one for each time that it is asked.
    fn timesteps(&self) -> &[f64];

    /// What the sampler starts from, made of standard normal noise.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn start(&self, noise: &Tensor) -> Result<Tensor> {
        Ok(noise.clone())
    }

    /// What the network is given at time `number`: latents of the noise schedule's variance.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn input(&self, latents: &Tensor, _number: usize) -> Result<Tensor> {
        Ok(latents.clone())
    }

    /// The latents after time `number`, from those before it and what the network made of its input. Times
    /// follow one another from 0.
    ///
    /// # Errors
    /// If the shapes disagree.
    fn step(&mut self, output: &Tensor, latents: &Tensor, number: usize) -> Result<Tensor>;
}

/// The samplers by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SamplerKind {
    /// Denoising diffusion implicit models.
    #[default]
    Ddim,
    /// Euler's method.
    Euler,
    /// Pseudo linear multistep: Stable Diffusion 1's own.
    Pndm,
    /// Linear multistep: what most of DiffusionDB was made with.
    LinearMultistep,
    /// DPM-Solver++ of second order, multistep.
    DpmSolver,
}

impl SamplerKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Ddim,
        Self::Euler,
        Self::Pndm,
        Self::LinearMultistep,
        Self::DpmSolver,
    ];

    /// The name, as DiffusionDB writes it; in its manner, where DiffusionDB has none.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Euler => "k_euler",
            Self::Pndm => "plms",
            Self::LinearMultistep => "k_lms",
            Self::DpmSolver => "k_dpmpp_2m",
        }
    }

    /// The sampler for `count` steps on a schedule.
    pub fn start(self, schedule: &NoiseSchedule, count: usize) -> Box<dyn Sampler> {
        match self {
            Self::Ddim => Box::new(Ddim::new(schedule, count)),
            Self::Euler => Box::new(Euler::new(schedule, count)),
            Self::Pndm => Box::new(Pndm::new(schedule, count)),
            Self::LinearMultistep => Box::new(LinearMultistep::new(schedule, count)),
            Self::DpmSolver => Box::new(DpmSolver::new(schedule, count)),
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
    use crate::parity::{Fixture, device};

    /// For data of one point the perfect network always answers that point: every sampler must end
    /// there, whatever the number of steps.
    #[test]
    fn a_perfect_network_leads_to_the_data() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::pocket()).unwrap();
        let noise = Tensor::new(&[[0.3f32, -1.7, 2.2]], &Device::Cpu).unwrap();
        let truth = Tensor::new(&[[0.5f32, 1.0, -2.0]], &Device::Cpu).unwrap();
        for kind in SamplerKind::ALL {
            for count in [1, 3, 20] {
                let mut sampler = kind.start(&schedule, count);
                let mut latents = sampler.start(&noise).unwrap();
                for number in 0..sampler.timesteps().len() {
                    latents = sampler.step(&truth, &latents, number).unwrap();
                }
                let worst = (&latents - &truth)
                    .unwrap()
                    .abs()
                    .unwrap()
                    .max_all()
                    .unwrap();
                let worst = worst.to_scalar::<f32>().unwrap();
                assert!(worst < 2e-3, "{kind} {count}: {worst}");
            }
        }
    }

    /// For normal data of variance v the clean latents are known at every step, and all samplers
    /// follow the same flow: with many steps they end at the same place, of variance v.
    #[test]
    fn with_many_steps_all_samplers_agree_on_normal_data() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::pocket()).unwrap();
        let (noise, variance) = (Tensor::new(&[1f32], &Device::Cpu).unwrap(), 0.25f64);
        let end = |kind: SamplerKind| -> f64 {
            let mut sampler = kind.start(&schedule, 1000);
            let mut latents = sampler.start(&noise).unwrap();
            for number in 0..sampler.timesteps().len() {
                let input = sampler.input(&latents, number).unwrap();
                let signal = schedule.alpha_bar(sampler.timesteps()[number] as usize);
                let gain = signal.sqrt() * variance / (signal * variance + 1.0 - signal);
                let clean = (input * gain).unwrap();
                latents = sampler.step(&clean, &latents, number).unwrap();
            }
            f64::from(latents.to_vec1::<f32>().unwrap()[0])
        };
        for kind in SamplerKind::ALL {
            let end = end(kind);
            assert!((end - variance.sqrt()).abs() < 0.01, "{kind}: {end}");
        }
    }

    /// What diffusers' schedulers do with the same outputs of a network, step by step.
    #[test]
    fn every_step_is_the_references() {
        let fixture = Fixture::open("schedulers");
        let reference = |kind: SamplerKind| match kind {
            SamplerKind::Ddim => "ddim",
            SamplerKind::Euler => "euler",
            SamplerKind::Pndm => "pndm",
            SamplerKind::LinearMultistep => "lms",
            SamplerKind::DpmSolver => "dpmpp_2m",
        };
        for kind in SamplerKind::ALL {
            let prefix = format!("{}.", reference(kind));
            let runs = fixture.names(&prefix);
            let runs = runs.iter().filter_map(|name| name.strip_suffix(".noise"));
            let mut count = 0;
            for run in runs {
                let mut parts = run.split('.').skip(1);
                let config = parts.next().unwrap();
                let steps: usize = parts.next().unwrap().parse().unwrap();
                let config: ScheduleConfig = fixture.json(&format!("{config}.json"));
                let schedule = NoiseSchedule::new(&config).unwrap();
                let mut sampler = kind.start(&schedule, steps);
                let told = sampler.timesteps().iter().map(|&step| step as f32);
                let told: Vec<f32> = told.collect();
                let told = Tensor::new(told, &device()).unwrap();
                fixture.compare(&format!("{run}.timesteps"), &told);
                let outputs = fixture.tensor(&format!("{run}.outputs"));
                let mut latents = sampler
                    .start(&fixture.tensor(&format!("{run}.noise")))
                    .unwrap();
                let (mut inputs, mut all) = (vec![], vec![]);
                for number in 0..sampler.timesteps().len() {
                    inputs.push(sampler.input(&latents, number).unwrap());
                    let output = outputs.get(number).unwrap();
                    latents = sampler.step(&output, &latents, number).unwrap();
                    all.push(latents.clone());
                }
                fixture.compare(
                    &format!("{run}.inputs"),
                    &Tensor::stack(&inputs, 0).unwrap(),
                );
                fixture.compare(&format!("{run}.latents"), &Tensor::stack(&all, 0).unwrap());
                count += 1;
            }
            assert!(count >= 4, "{kind}: {count} runs");
        }
    }

    #[test]
    fn names_go_there_and_back() {
        for kind in SamplerKind::ALL {
            assert_eq!(kind.name().parse::<SamplerKind>().unwrap(), kind);
        }
        let error = "k_heun".parse::<SamplerKind>().unwrap_err();
        assert!(error.to_string().contains("ddim or k_euler"), "{error}");
    }
}
