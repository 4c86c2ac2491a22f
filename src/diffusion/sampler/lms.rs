//! Linear multistep on the probability flow, as k-diffusion and DiffusionDB's `k_lms` do it: the slopes of the
//! last four steps, weighted by the integrals of the polynomials through them (Adams-Bashforth with unequal
//! steps; Hairer et al., 1993, s. III.5).

use std::collections::VecDeque;

use candle_core::{Result, Tensor};

use super::Sampler;
use super::sigmas::Sigmas;
use crate::diffusion::schedule::NoiseSchedule;

/// Slopes that a step looks back on.
const ORDER: usize = 4;

/// Places and weights of Gauss and Legendre on [-1, 1]: exact for polynomials up to degree 3.
const GAUSS: [(f64, f64); 2] = [
    (-0.577_350_269_189_625_8, 1.0),
    (0.577_350_269_189_625_8, 1.0),
];

/// See the [module](self).
pub(super) struct LinearMultistep {
    steps: Sigmas,
    /// The newest first.
    slopes: VecDeque<Tensor>,
}

impl LinearMultistep {
    pub(super) fn new(schedule: &NoiseSchedule, count: usize) -> Self {
        Self {
            steps: Sigmas::new(schedule, count),
            slopes: VecDeque::new(),
        }
    }

    /// What the slope of `back` steps ago counts at step `number`, of `known` slopes: the integral over the
    /// step of the polynomial that is 1 there and 0 at the other slopes' places.
    fn weight(&self, number: usize, back: usize, known: usize) -> f64 {
        let sigmas = &self.steps.sigmas;
        let polynomial = |at: f64| -> f64 {
            let others = (0..known).filter(|&other| other != back);
            others
                .map(|other| {
                    let zero = sigmas[number - other];
                    (at - zero) / (sigmas[number - back] - zero)
                })
                .product()
        };
        let (from, to) = (sigmas[number], sigmas[number + 1]);
        let (middle, half) = ((from + to) / 2.0, (to - from) / 2.0);
        let parts = GAUSS.map(|(place, weight)| weight * polynomial(middle + half * place));
        half * parts.iter().sum::<f64>()
    }
}

impl Sampler for LinearMultistep {
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
        self.slopes.push_front(slope);
        self.slopes.truncate(ORDER);
        let known = self.slopes.len();
        let slopes = self.slopes.iter().enumerate();
        slopes
            .into_iter()
            .try_fold(latents.clone(), |latents, (back, slope)| {
                latents + (slope * self.weight(number, back, known))?
            })
    }
}
