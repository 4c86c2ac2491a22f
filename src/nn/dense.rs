//! A linear layer and what follows it, as sentence-transformers publishes them (`Dense`). In (.., inputs),
//! out (.., outputs).

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::linear::Linear;

/// What follows the linear part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Identity,
    /// The hyperbolic tangent.
    Tanh,
}

/// The layer.
#[derive(Clone, Debug)]
pub struct Dense {
    linear: Linear,
    after: After,
}

impl Dense {
    /// A linear layer and what follows it.
    pub fn new(linear: Linear, after: After) -> Self {
        Self { linear, after }
    }

    /// Reads the layer (`linear.*`).
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn load(
        inputs: usize,
        outputs: usize,
        bias: bool,
        after: After,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let vb = vb.pp("linear");
        let linear = if bias {
            Linear::new(inputs, outputs, vb)?
        } else {
            Linear::without_bias(inputs, outputs, vb)?
        };
        Ok(Self::new(linear, after))
    }
}

impl Module for Dense {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.linear.forward(x)?;
        match self.after {
            After::Identity => Ok(y),
            After::Tanh => y.tanh(),
        }
    }
}
