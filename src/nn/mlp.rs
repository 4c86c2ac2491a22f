//! The two-layer perceptron of a transformer block. In (.., dim), out the same.

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
    /// Its sigmoid approximation `x * sigmoid(1.702 x)`.
    #[serde(rename = "quick_gelu")]
    QuickGelu,
}

impl Activation {
    /// The exact one or its sigmoid approximation, as CLIP's configurations choose.
    pub fn gelu(quick: bool) -> Self {
        if quick { Self::QuickGelu } else { Self::Gelu }
    }
}

impl Module for Activation {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => pointwise::gelu(x),
            Self::GeluTanh => pointwise::gelu_tanh(x),
            Self::QuickGelu => pointwise::quick_gelu(x),
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
    /// Reads or starts its two layers, in this order.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(
        dim: usize,
        hidden: usize,
        activation: Activation,
        [intermediate, output]: [VarBuilder<'_>; 2],
    ) -> Result<Self> {
        Ok(Self {
            intermediate: Linear::new(dim, hidden, intermediate)?,
            output: Linear::new(hidden, dim, output)?,
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
