//! Attention as in diffusers (`Attention`): `to_q`, `to_k`, `to_v`, `to_out.0`.
//! In (batch, positions, channels), out the same.

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::context::Context;
use crate::nn::linear::Linear;
use crate::nn::ops;

/// Scores that are in memory at once: 128 MiB of them.
const MAX_SCORES: usize = 1 << 25;

/// The same on a graphics processor: 1 GiB.
const DEVICE_MAX_SCORES: usize = 1 << 28;

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
        let bias = context.and_then(Context::bias);
        let attend = |query: &Tensor| ops::attention(query, &key, &value, bias);
        // Every position attends for itself: many are taken in turn, since all scores would fill the memory.
        let (batch, heads, positions, _) = query.dims4()?;
        let row = batch * heads * key.dim(2)?;
        let most = if x.device().is_cpu() {
            MAX_SCORES
        } else {
            DEVICE_MAX_SCORES
        };
        let at_once = (most / row.max(1)).clamp(1, positions.max(1));
        let mixed = if at_once < positions {
            let mixed: Vec<Tensor> = (0..positions)
                .step_by(at_once)
                .map(|start| {
                    let length = at_once.min(positions - start);
                    attend(&query.narrow(2, start, length)?.contiguous()?)
                })
                .collect::<Result<_>>()?;
            Tensor::cat(&mixed, 2)?
        } else {
            attend(&query)?
        };
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
