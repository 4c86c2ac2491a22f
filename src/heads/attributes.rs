//! Linear to a score for each value of each attribute of a meaning.

use candle_core::{D, Result, Tensor};
use candle_nn::{Module, VarBuilder};

use crate::nn::linear::Linear;
use crate::pocket::Meaning;

/// Heads of all attributes on top of an encoder's features.
#[derive(Clone, Debug)]
pub struct AttributeHeads {
    values: Linear,
}

impl AttributeHeads {
    /// Reads the heads, or starts them for training.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(features: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let values = Meaning::RADICES.iter().sum();
        Ok(Self {
            values: Linear::new(features, values, vb.pp("values"))?,
        })
    }

    /// In (batch, features), out a tensor an attribute, (batch, its values), of logarithms of
    /// probabilities.
    ///
    /// # Errors
    /// If the input has another shape.
    pub fn forward(&self, features: &Tensor) -> Result<Vec<Tensor>> {
        let scores = self.values.forward(features)?;
        let mut start = 0;
        Meaning::RADICES
            .iter()
            .map(|&count| {
                let own = scores.narrow(D::Minus1, start, count)?;
                start += count;
                candle_nn::ops::log_softmax(&own, D::Minus1)
            })
            .collect()
    }
}
