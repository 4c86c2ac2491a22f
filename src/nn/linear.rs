//! Linear layer. In (.., inputs), out (.., outputs).

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

use super::ops;

/// `y = x W^T + b`, with `weight` (outputs, inputs) and `bias` (outputs).
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Reads the layer, or starts it as PyTorch does: uniform within `1 / sqrt(inputs)`.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let bound = 1.0 / (inputs as f64).sqrt();
        let init = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Ok(Self {
            weight: vb.get_with_hints((outputs, inputs), "weight", init)?,
            bias: vb.get_with_hints(outputs, "bias", Init::Const(0.0))?,
        })
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (outputs, inputs) = self.weight.dims2()?;
        let rows = x.elem_count() / inputs.max(1);
        // One large product: candle repeats the weight for every leading dimension otherwise.
        let y = x.reshape((rows, inputs))?.matmul(&self.weight.t()?)?;
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        ops::add_bias(&y, &self.bias)?.reshape(dims)
    }
}
