//! The spatial transformer of diffusers (`Transformer2DModel`): positions attend to each other and to
//! the prompt. In (batch, height, width, channels), out the same.

use candle_core::{D, Result, Tensor};
use candle_nn::{Module, VarBuilder};

use crate::diffusion::attention::Attention;
use crate::diffusion::context::Context;
use crate::nn::conv::{Conv2d, ConvConfig};
use crate::nn::group_norm::GroupNorm;
use crate::nn::linear::Linear;
use crate::nn::norm::LayerNorm;
use crate::nn::pointwise;

/// Norm, projection, transformer block, projection; the input is added to what comes out.
#[derive(Clone, Debug)]
pub(super) struct SpatialTransformer {
    norm: GroupNorm,
    proj_in: Projection,
    block: Block,
    proj_out: Projection,
}

/// Sizes of a [`SpatialTransformer`].
#[derive(Clone, Copy, Debug)]
pub(super) struct TransformerConfig {
    pub(super) heads: usize,
    /// Numbers a token of the context.
    pub(super) context: usize,
    pub(super) groups: usize,
    /// Whether projections are published as matrices; otherwise as 1 x 1 kernels.
    pub(super) linear: bool,
}

#[derive(Clone, Debug)]
enum Projection {
    Matrix(Linear),
    Kernel(Conv2d),
}

#[derive(Clone, Debug)]
struct Block {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl SpatialTransformer {
    pub(super) fn new(
        channels: usize,
        config: TransformerConfig,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let block = vb.pp("transformer_blocks").pp("0");
        Ok(Self {
            norm: GroupNorm::new(config.groups, channels, 1e-6, vb.pp("norm"))?,
            proj_in: Projection::new(channels, config.linear, vb.pp("proj_in"))?,
            block: Block::new(channels, config, &block)?,
            proj_out: Projection::new(channels, config.linear, vb.pp("proj_out"))?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, context: &Context) -> Result<Tensor> {
        let (batch, height, width, channels) = x.dims4()?;
        let h = self.proj_in.forward(&self.norm.forward(x)?)?;
        let tokens = h.reshape((batch, height * width, channels))?;
        let tokens = self.block.forward(&tokens, context)?;
        x + self.proj_out.forward(&tokens.reshape(x.shape())?)?
    }
}

impl Projection {
    fn new(channels: usize, linear: bool, vb: VarBuilder<'_>) -> Result<Self> {
        if linear {
            Linear::new(channels, channels, vb).map(Self::Matrix)
        } else {
            Conv2d::new(channels, channels, ConvConfig::POINTWISE, vb).map(Self::Kernel)
        }
    }
}

impl Module for Projection {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Matrix(layer) => layer.forward(x),
            Self::Kernel(layer) => layer.forward(x),
        }
    }
}

impl Block {
    fn new(channels: usize, config: TransformerConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let norm = |name: &str| LayerNorm::new(channels, 1e-5, vb.pp(name));
        let attend = |context, name: &str| {
            Attention::new(channels, context, config.heads, false, &vb.pp(name))
        };
        let net = vb.pp("ff").pp("net");
        Ok(Self {
            norm1: norm("norm1")?,
            attn1: attend(channels, "attn1")?,
            norm2: norm("norm2")?,
            attn2: attend(config.context, "attn2")?,
            norm3: norm("norm3")?,
            widen: Linear::new(channels, 8 * channels, net.pp("0").pp("proj"))?,
            narrow: Linear::new(4 * channels, channels, net.pp("2"))?,
        })
    }

    fn forward(&self, x: &Tensor, context: &Context) -> Result<Tensor> {
        let x = (x + self.attn1.forward(&self.norm1.forward(x)?, None)?)?;
        let x = (&x
            + self
                .attn2
                .forward(&self.norm2.forward(&x)?, Some(context))?)?;
        // GEGLU (Shazeer, 2020): one half gates the other.
        let wide = self.widen.forward(&self.norm3.forward(&x)?)?;
        let half = wide.dim(D::Minus1)? / 2;
        let gate = pointwise::gelu(&wide.narrow(D::Minus1, half, half)?)?;
        let gated = (wide.narrow(D::Minus1, 0, half)? * gate)?;
        &x + self.narrow.forward(&gated)?
    }
}
