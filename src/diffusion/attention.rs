//! Attention as in diffusers (`Attention`): `to_q`, `to_k`, `to_v`, `to_out.0`.
//! In (batch, positions, channels), out the same.

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::context::Context;
use crate::nn::linear::Linear;
use crate::nn::ops;

/// Multi-head attention (Vaswani et al., 2017, s. 3.2) to itself or to a context.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
}

impl Attention {
    /// Keys and values are made of `context` numbers a token; those of a VAE have a `bias`.
    pub(super) fn new(
        channels: usize,
        context: usize,
        heads: usize,
        bias: bool,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        if heads == 0 || !channels.is_multiple_of(heads) {
            candle_core::bail!("{heads} attention heads do not divide {channels} channels");
        }
        let project = |inputs: usize, name: &str| {
            if bias {
                Linear::new(inputs, channels, vb.pp(name))
            } else {
                Linear::without_bias(inputs, channels, vb.pp(name))
            }
        };
        Ok(Self {
            to_q: project(channels, "to_q")?,
            to_k: project(context, "to_k")?,
            to_v: project(context, "to_v")?,
            to_out: Linear::new(channels, channels, vb.pp("to_out").pp("0"))?,
            heads,
        })
    }

    /// Attends to `context`, or to `x` itself.
    pub(super) fn forward(&self, x: &Tensor, context: Option<&Context>) -> Result<Tensor> {
        let (_, _, channels) = x.dims3()?;
        let source = context.map_or(x, Context::states);
        let scale = 1.0 / ((channels / self.heads) as f64).sqrt();
        let query = (self.split(&self.to_q.forward(x)?)? * scale)?;
        let key = self.split(&self.to_k.forward(source)?)?;
        let value = self.split(&self.to_v.forward(source)?)?;
        let mut scores = query.matmul(&key.t()?)?;
        if let Some(bias) = context.and_then(Context::bias) {
            scores = scores.broadcast_add(bias)?;
        }
        let mixed = ops::softmax(&scores)?.matmul(&value)?;
        let mixed = mixed.transpose(1, 2)?.contiguous()?.reshape(x.shape())?;
        self.to_out.forward(&mixed)
    }

    /// (batch, tokens, channels) to (batch, heads, tokens, channels / heads).
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, channels) = x.dims3()?;
        x.reshape((batch, tokens, self.heads, channels / self.heads))?
            .transpose(1, 2)?
            .contiguous()
    }
}
