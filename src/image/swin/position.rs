//! Log-spaced continuous position bias (Liu et al., 2022, s. 3.3).

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use crate::nn::linear::Linear;

/// Width of the perceptron's hidden layer.
const HIDDEN: usize = 512;

/// The largest bias.
const LARGEST: f64 = 16.0;

/// A perceptron (`0`, `2`) from how far apart two tokens are to what is added to their score.
#[derive(Clone, Debug)]
pub(super) struct PositionBias {
    /// ((2 side - 1)^2, 2): all differences of two places in a window, on a logarithmic scale.
    differences: Tensor,
    /// (tokens * tokens): which of them each pair of tokens has.
    pairs: Tensor,
    hidden: Linear,
    output: Linear,
}

impl PositionBias {
    /// Reads or starts the perceptron, for windows of `side` tokens a side. `pretrained` is the
    /// side that it was trained with, 0 if it is the same.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub(super) fn new(
        side: usize,
        pretrained: usize,
        heads: usize,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let reach = side as i64 - 1;
        let farthest = if pretrained > 0 { pretrained } else { side };
        let farthest = farthest.saturating_sub(1).max(1) as f64;
        let scaled = |difference: i64| {
            let difference = 8.0 * difference as f64 / farthest;
            (difference.signum() * (difference.abs() + 1.0).log2() / 8f64.log2()) as f32
        };
        let mut differences = vec![];
        for down in -reach..=reach {
            for right in -reach..=reach {
                differences.extend([scaled(down), scaled(right)]);
            }
        }
        let places = (0..side).flat_map(|row| (0..side).map(move |column| (row, column)));
        let row_length = 2 * side - 1;
        let mut pairs = vec![];
        for (row, column) in places.clone() {
            for (other_row, other_column) in places.clone() {
                let down = row + side - 1 - other_row;
                let right = column + side - 1 - other_column;
                pairs.push((down * row_length + right) as u32);
            }
        }
        let device = vb.device();
        let count = row_length * row_length;
        Ok(Self {
            differences: Tensor::from_vec(differences, (count, 2), device)?,
            pairs: Tensor::from_vec(pairs, side.pow(4), device)?,
            hidden: Linear::new(2, HIDDEN, vb.pp(0))?,
            output: Linear::without_bias(HIDDEN, heads, vb.pp(2))?,
        })
    }

    /// (heads, tokens, tokens), each in (0, [`LARGEST`]).
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub(super) fn forward(&self) -> Result<Tensor> {
        let hidden = self.hidden.forward(&self.differences)?.relu()?;
        let biases = candle_nn::ops::sigmoid(&self.output.forward(&hidden)?)?;
        let (_, heads) = biases.dims2()?;
        let tokens = self.pairs.elem_count().isqrt();
        let biases = biases.t()?.contiguous()?.index_select(&self.pairs, 1)?;
        (biases * LARGEST)?.reshape((heads, tokens, tokens))
    }
}
