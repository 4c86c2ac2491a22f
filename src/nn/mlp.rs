//! The two-layer perceptron of a transformer block. In (.., dim), out the same.
//!
//! Variables are named as in Hugging Face's ViT: `intermediate.dense` and `output.dense`.

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use serde::{Deserialize, Serialize};

use super::linear::Linear;
use super::pointwise;

/// The non-linearity, by its name in published configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `x * Phi(x)`, exact.
    #[serde(rename = "gelu")]
    Gelu,
    /// Its tanh approximation.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluTanh,
}

impl Module for Activation {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => pointwise::gelu(x),
            Self::GeluTanh => pointwise::gelu_tanh(x),
        }
    }
}

/// Linear to `hidden`, activation, linear back.
#[derive(Clone, Debug)]
pub struct Mlp {
    intermediate: Linear,
    output: Linear,
    activation: Activation,
}

impl Mlp {
    /// Reads or starts the layer.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(
        dim: usize,
        hidden: usize,
        activation: Activation,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        Ok(Self {
            intermediate: Linear::new(dim, hidden, vb.pp("intermediate").pp("dense"))?,
            output: Linear::new(hidden, dim, vb.pp("output").pp("dense"))?,
            activation,
        })
    }
}

impl Module for Mlp {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.output
            .forward(&self.activation.forward(&self.intermediate.forward(x)?)?)
    }
}
