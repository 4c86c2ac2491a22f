//! The perceptron of the paper on top of frozen features (docs/method.md). In (batch, inputs), out
//! (batch, last width).
//!
//! Each layer is linear, layer normalisation, GELU. The paper normalises over the batch and drops
//! out units; here every row is on its own, so that training has no mode and no state beside its
//! variables, and a batch can be shared among workers.

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::linear::Linear;
use super::mlp::Activation;
use super::norm::LayerNorm;

/// Added to variances.
const EPS: f64 = 1e-5;

/// Layers of the given widths, named by their number: `0.dense`, `0.norm`, `1.dense` and so on.
#[derive(Clone, Debug)]
pub struct Trunk {
    layers: Vec<(Linear, LayerNorm)>,
}

impl Trunk {
    /// Reads or starts the layers.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(mut inputs: usize, widths: &[usize], vb: VarBuilder<'_>) -> Result<Self> {
        let mut layers = vec![];
        for (number, &width) in widths.iter().enumerate() {
            let vb = vb.pp(number);
            layers.push((
                Linear::new(inputs, width, vb.pp("dense"))?,
                LayerNorm::new(width, EPS, vb.pp("norm"))?,
            ));
            inputs = width;
        }
        Ok(Self { layers })
    }
}

impl Module for Trunk {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(x.clone(), |x, (dense, norm)| {
            Activation::Gelu.forward(&norm.forward(&dense.forward(&x)?)?)
        })
    }
}
