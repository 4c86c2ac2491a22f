//! Pseudo linear multistep (Liu et al., 2022, s. 3.4), as Stable Diffusion 1 was published with it: the first
//! step is taken twice instead of by Runge and Kutta.

use std::collections::VecDeque;

use candle_core::{Result, Tensor};

use super::Sampler;
use crate::diffusion::schedule::{NoiseSchedule, PredictionType, TimestepSpacing};

/// What the last outputs count, the newest first (Adams-Bashforth), by how many there are.
const WEIGHTS: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

/// See the [module](self).
pub(super) struct Pndm {
    /// As the network is told them: the second one twice.
    timesteps: Vec<f64>,
    /// The signal's share before and after each time that it is asked.
    shares: Vec<(f64, f64)>,
    predicts: PredictionType,
    /// The newest first.
    outputs: VecDeque<Tensor>,
    /// What the first step began with.
    first: Option<Tensor>,
}

impl Pndm {
    pub(super) fn new(schedule: &NoiseSchedule, count: usize) -> Self {
        let mut timesteps = schedule.timesteps(count, TimestepSpacing::Leading);
        let mut alpha_bars: Vec<f64> = timesteps
            .iter()
            .map(|&step| schedule.alpha_bar(step as usize))
            .collect();
        alpha_bars.push(schedule.final_alpha_bar());
        let mut shares: Vec<(f64, f64)> = alpha_bars.windows(2).map(|it| (it[0], it[1])).collect();
        if let Some(&second) = timesteps.get(1) {
            timesteps.insert(1, second);
            shares.insert(1, shares[0]);
        }
        Self {
            timesteps,
            shares,
            predicts: schedule.config().prediction_type,
            outputs: VecDeque::new(),
            first: None,
        }
    }

    /// The outputs so far, weighted, with `output` the newest.
    fn combined(&mut self, output: &Tensor, number: usize) -> Result<Tensor> {
        if number == 1 {
            // The end of the first step corrects it.
            let before = self.outputs.front().unwrap_or(output);
            return (before + output)? * 0.5;
        }
        self.outputs.push_front(output.clone());
        self.outputs.truncate(WEIGHTS.len());
        let weights = WEIGHTS[self.outputs.len() - 1];
        let mut pairs = self.outputs.iter().zip(weights);
        let first = pairs.next().map(|(output, weight)| output * *weight);
        pairs.fold(
            first.unwrap_or_else(|| Ok(output.clone())),
            |sum, (output, weight)| sum? + (output * *weight)?,
        )
    }
}

impl Sampler for Pndm {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn step(&mut self, output: &Tensor, latents: &Tensor, number: usize) -> Result<Tensor> {
        let output = self.combined(output, number)?;
        let from = match number {
            0 => self.first.insert(latents.clone()),
            1 => &self.first.take().unwrap_or_else(|| latents.clone()),
            _ => latents,
        };
        let (now, next) = self.shares[number];
        // Equation 11, with the difference of shares taken apart.
        let clean = self.predicts.clean(&output, from, now)?;
        let noise = self.predicts.noise(&output, from, now)?;
        (clean * next.sqrt())? + (noise * (1.0 - next).sqrt())?
    }
}
