//! The time step as a vector: sinusoids (Vaswani et al., 2017, s. 3.5), then two layers.

use candle_core::{Device, Result, Tensor};
use candle_nn::{Module, VarBuilder};

use crate::nn::linear::Linear;
use crate::nn::pointwise;

/// `time_embedding` of diffusers, with its `Timesteps` before it.
#[derive(Clone, Debug)]
pub(super) struct TimeEmbedding {
    linear_1: Linear,
    linear_2: Linear,
    sinusoids: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
}

impl TimeEmbedding {
    /// From `sinusoids` numbers to `outputs`.
    pub(super) fn new(
        sinusoids: usize,
        outputs: usize,
        flip_sin_to_cos: bool,
        freq_shift: f64,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        Ok(Self {
            linear_1: Linear::new(sinusoids, outputs, vb.pp("linear_1"))?,
            linear_2: Linear::new(outputs, outputs, vb.pp("linear_2"))?,
            sinusoids,
            flip_sin_to_cos,
            freq_shift,
        })
    }

    /// (batch, outputs) after SiLU, as every block takes it.
    pub(super) fn forward(&self, steps: &[f32], device: &Device) -> Result<Tensor> {
        let x = Tensor::from_vec(self.waves(steps), (steps.len(), self.sinusoids), device)?;
        let x = self
            .linear_2
            .forward(&pointwise::silu(&self.linear_1.forward(&x)?)?)?;
        pointwise::silu(&x)
    }

    fn waves(&self, steps: &[f32]) -> Vec<f32> {
        let half = self.sinusoids / 2;
        let frequency = |i: usize| {
            let share = i as f64 / (half as f64 - self.freq_shift);
            (-(10_000f64.ln()) * share).exp()
        };
        let mut values = vec![0f32; steps.len() * self.sinusoids];
        for (step, row) in steps
            .iter()
            .zip(values.chunks_exact_mut(self.sinusoids.max(1)))
        {
            for i in 0..half {
                let (sin, cos) = (f64::from(*step) * frequency(i)).sin_cos();
                let (first, second) = if self.flip_sin_to_cos {
                    (cos, sin)
                } else {
                    (sin, cos)
                };
                row[i] = first as f32;
                row[half + i] = second as f32;
            }
        }
        values
    }
}
