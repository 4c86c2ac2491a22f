//! Linear layer. In (.., inputs), out (.., outputs).

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

use super::ops;

/// `y = x W^T + b`, with `weight` (outputs, inputs) and, in most, `bias` (outputs).
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Reads the layer, or starts it as PyTorch does: uniform within `1 / sqrt(inputs)`.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let bias = vb.get_with_hints(outputs, "bias", Init::Const(0.0))?;
        Ok(Self {
            bias: Some(bias),
            ..Self::without_bias(inputs, outputs, vb)?
        })
    }

    /// The same without the bias.
    ///
    /// # Errors
    /// If the weight is missing or of another shape.
    pub fn without_bias(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let bound = 1.0 / (inputs as f64).sqrt();
        let init = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Ok(Self {
            weight: vb.get_with_hints((outputs, inputs), "weight", init)?,
            bias: None,
        })
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (outputs, inputs) = self.weight.dims2()?;
        let rows = x.elem_count() / inputs.max(1);
        // One large product: candle repeats the weight for every leading dimension otherwise.
        let mut y = x.reshape((rows, inputs))?.matmul(&self.weight.t()?)?;
        if let Some(bias) = &self.bias {
            y = ops::add_bias(&y, bias)?;
        }
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        y.reshape(dims)
    }
}
