//! Scaled cosine attention within windows (Liu et al., 2022, s. 3.2). In (batch, map * map, dim),
//! out the same.

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

use super::position::PositionBias;
use super::windows::Windows;
use crate::nn::linear::Linear;
use crate::nn::ops;
use crate::nn::product::product;
use crate::nn::unit::unit_rows;

/// Cosines are multiplied by this at most.
const LARGEST_SCALE: f64 = 100.0;

/// Sizes of attention within windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowSizes {
    /// Width and height of the map in tokens.
    pub(super) map: usize,
    /// Width and height of a window in tokens.
    pub(super) window: usize,
    /// Where windows are shifted by half, what is added to the scores of tokens that only the shift brings together.
    pub(super) shift: Option<f32>,
    /// The window that positions were learnt with, if it was another; else 0.
    pub(super) pretrained: usize,
    /// Length of a token.
    pub(super) dim: usize,
    /// Attention heads; divides `dim`.
    pub(super) heads: usize,
}

/// Attention within windows.
#[derive(Clone, Debug)]
pub(super) struct WindowAttention {
    windows: Windows,
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    /// (heads, 1, 1), the logarithm of what cosines are multiplied by.
    logit_scale: Tensor,
    position_bias: PositionBias,
    output: Linear,
}

impl WindowAttention {
    /// Reads or starts the layer; only query and value may have a bias.
    ///
    /// # Errors
    /// If the sizes do not fit together, or a weight is missing or of another shape.
    pub(super) fn new(sizes: &WindowSizes, with_bias: bool, vb: VarBuilder<'_>) -> Result<Self> {
        let &WindowSizes { dim, heads, .. } = sizes;
        if heads == 0 || !dim.is_multiple_of(heads) {
            candle_core::bail!("{heads} attention heads do not divide {dim} dimensions");
        }
        let windows = Windows::new(sizes.map, sizes.window, sizes.shift, vb.device())?;
        let inner = vb.pp("self");
        let biased = if with_bias {
            Linear::new
        } else {
            Linear::without_bias
        };
        let position_bias = PositionBias::new(
            windows.side,
            sizes.pretrained,
            heads,
            inner.pp("continuous_position_bias_mlp"),
        )?;
        Ok(Self {
            windows,
            heads,
            query: biased(dim, dim, inner.pp("query"))?,
            key: Linear::without_bias(dim, dim, inner.pp("key"))?,
            value: biased(dim, dim, inner.pp("value"))?,
            logit_scale: inner.get_with_hints(
                (heads, 1, 1),
                "logit_scale",
                Init::Const(10f64.ln()),
            )?,
            position_bias,
            output: Linear::new(dim, dim, vb.pp("output.dense"))?,
        })
    }

    /// (batch, map * map, dim) to (batch * windows, heads, tokens, dim / heads).
    fn heads(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, _, dim) = x.dims3()?;
        let (count, tokens) = (self.windows.count, self.windows.side.pow(2));
        x.reshape((batch * count, tokens, self.heads, dim / self.heads))?
            .transpose(1, 2)?
            .contiguous()
    }

    /// What is added to the scores of one map, flat.
    fn bias(&self) -> Result<Tensor> {
        let bias = self.position_bias.forward()?;
        match &self.windows.mask {
            Some(mask) => mask.broadcast_add(&bias)?.flatten_all(),
            None => bias.flatten_all(),
        }
    }
}

impl Module for WindowAttention {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let split = self.windows.split(x)?;
        let scale = self.logit_scale.minimum(LARGEST_SCALE.ln())?.exp()?;
        let query = unit_rows(&self.heads(&self.query.forward(&split)?)?)?.broadcast_mul(&scale)?;
        let key = unit_rows(&self.heads(&self.key.forward(&split)?)?)?;
        let value = self.heads(&self.value.forward(&split)?)?;
        // Not rounded: cosines are scaled by up to a hundred, and what was lost of them with them.
        let scores = query.matmul(&key.t()?)?;
        let bias = self.bias()?;
        let rows = scores.elem_count() / bias.elem_count();
        let biased = ops::add_bias(&scores.reshape((rows, bias.elem_count()))?, &bias)?;
        let weights = ops::softmax(&biased.reshape(scores.shape())?)?;
        let mixed = product(&weights, &value)?.transpose(1, 2)?.contiguous()?;
        let output = self.output.forward(&mixed.reshape(x.shape())?)?;
        self.windows.join(&output)
    }
}
