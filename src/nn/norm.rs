//! Layer normalisation as a module. In (.., dim), out the same.

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

use super::ops;

/// Layer normalisation with learnt scale (`weight`) and shift (`bias`), both (dim).
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Reads the layer, or starts it as the identity after normalisation.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(dim: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: vb.get_with_hints(dim, "weight", Init::Const(1.0))?,
            bias: vb.get_with_hints(dim, "bias", Init::Const(0.0))?,
            eps,
        })
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}
