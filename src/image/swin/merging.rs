//! Four neighbours become one token. In (batch, map * map, dim), out (batch, map * map / 4, 2 dim).

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::EPS;
use crate::nn::linear::Linear;
use crate::nn::norm::LayerNorm;

/// Patch merging: `reduction` from 4 dim to 2 dim, then `norm`.
#[derive(Clone, Debug)]
pub(super) struct Merging {
    /// Tokens in the order in which they are joined.
    order: Tensor,
    reduction: Linear,
    norm: LayerNorm,
}

impl Merging {
    /// Reads or starts the layer for maps of `map` tokens a side.
    ///
    /// # Errors
    /// If `map` is odd, or a weight is missing or of another shape.
    pub(super) fn new(map: usize, dim: usize, vb: VarBuilder<'_>) -> Result<Self> {
        if !map.is_multiple_of(2) {
            candle_core::bail!("a map of {map} x {map} tokens cannot be halved");
        }
        let mut order = Vec::with_capacity(map * map);
        for row in (0..map).step_by(2) {
            for column in (0..map).step_by(2) {
                // Downwards first.
                for (down, right) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    order.push(((row + down) * map + column + right) as u32);
                }
            }
        }
        Ok(Self {
            order: Tensor::from_vec(order, map * map, vb.device())?,
            reduction: Linear::without_bias(4 * dim, 2 * dim, vb.pp("reduction"))?,
            norm: LayerNorm::new(2 * dim, EPS, vb.pp("norm"))?,
        })
    }
}

impl Module for Merging {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, dim) = x.dims3()?;
        let joined = x
            .index_select(&self.order, 1)?
            .reshape((batch, tokens / 4, 4 * dim))?;
        self.norm.forward(&self.reduction.forward(&joined)?)
    }
}
