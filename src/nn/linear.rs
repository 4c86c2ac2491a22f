//! Linear layer. In (.., inputs), out (.., outputs).

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

use super::product::product_with_transpose;
use super::{conv, ops};

/// `y = x W^T + b`, with `weight` (outputs, inputs) and, unless it was made without, `bias` (outputs).
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
        Self::started(inputs, outputs, Self::uniform(inputs), true, &vb)
    }

    /// The same without a bias.
    ///
    /// # Errors
    /// If the weight is missing or of another shape.
    pub fn without_bias(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Self::started(inputs, outputs, Self::uniform(inputs), false, &vb)
    }

    /// Reads the layer, or starts it at zero: the last layer of a residual branch, which then begins
    /// as the identity.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn zero(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Self::started(inputs, outputs, Init::Const(0.0), true, &vb)
    }

    /// The layer of these tensors.
    pub fn of(weight: Tensor, bias: Tensor) -> Self {
        let bias = Some(bias);
        Self { weight, bias }
    }

    fn uniform(inputs: usize) -> Init {
        let bound = 1.0 / (inputs as f64).sqrt();
        Init::Uniform {
            lo: -bound,
            up: bound,
        }
    }

    fn started(
        inputs: usize,
        outputs: usize,
        init: Init,
        biased: bool,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let bias = biased.then(|| vb.get_with_hints(outputs, "bias", Init::Const(0.0)));
        Ok(Self {
            weight: vb.get_with_hints((outputs, inputs), "weight", init)?,
            bias: bias.transpose()?,
        })
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (outputs, inputs) = self.weight.dims2()?;
        // One large product: candle repeats the weight for every leading dimension otherwise.
        let rows = x.reshape((x.elem_count() / inputs.max(1), inputs))?;
        let y = match &self.bias {
            Some(bias) if ops::fused(x) => conv::linear(&rows, &self.weight, bias)?,
            None if ops::fused(x) => {
                let bias = Tensor::zeros(outputs, x.dtype(), x.device())?;
                conv::linear(&rows, &self.weight, &bias)?
            }
            Some(bias) => ops::add_bias(&product_with_transpose(&rows, &self.weight)?, bias)?,
            None => product_with_transpose(&rows, &self.weight)?,
        };
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        y.reshape(dims)
    }
}
