//! The pre-norm transformer block of vision transformers (Dosovitskiy et al., 2021, s. 3.1).
//! In (batch, tokens, dim), out the same.

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::attention::Attention;
use super::mlp::{Activation, Mlp};
use super::norm::LayerNorm;

/// Sizes of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockSizes {
    /// Length of a token.
    pub dim: usize,
    /// Attention heads; divides `dim`.
    pub heads: usize,
    /// Width of the perceptron.
    pub hidden: usize,
    /// The perceptron's non-linearity.
    pub activation: Activation,
    /// Added to variances.
    pub eps: f64,
}

/// What a kind of checkpoint calls the parts of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockNames {
    /// The normalisation before attention.
    pub norm_before: &'static str,
    /// Query, key, value and output of attention.
    pub attention: [&'static str; 4],
    /// The normalisation after it.
    pub norm_after: &'static str,
    /// The two layers of the perceptron.
    pub mlp: [&'static str; 2],
}

/// What Hugging Face's `CLIPModel` calls them, in both towers.
pub const CLIP_NAMES: BlockNames = BlockNames {
    norm_before: "layer_norm1",
    attention: [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
    ],
    norm_after: "layer_norm2",
    mlp: ["mlp.fc1", "mlp.fc2"],
};

/// Attention, then a perceptron, each normalised before and added to what came in.
#[derive(Clone, Debug)]
pub struct Block {
    norm_before: LayerNorm,
    attention: Attention,
    norm_after: LayerNorm,
    mlp: Mlp,
}

impl Block {
    /// Reads or starts the block.
    ///
    /// # Errors
    /// If the heads do not divide the token, or a weight is missing or of another shape.
    pub fn new(sizes: BlockSizes, names: &BlockNames, vb: VarBuilder<'_>) -> Result<Self> {
        let BlockSizes {
            dim,
            heads,
            hidden,
            activation,
            eps,
        } = sizes;
        let attention = names.attention.map(|name| vb.pp(name));
        let mlp = names.mlp.map(|name| vb.pp(name));
        Ok(Self {
            norm_before: LayerNorm::new(dim, eps, vb.pp(names.norm_before))?,
            attention: Attention::new(dim, heads, attention)?,
            norm_after: LayerNorm::new(dim, eps, vb.pp(names.norm_after))?,
            mlp: Mlp::new(dim, hidden, activation, mlp)?,
        })
    }

    /// The block where `bias` is added to the scores of attention (see [`Attention::forward_to`]).
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn forward_with(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let normed = self.norm_before.forward(x)?;
        let attended = self.attention.forward_to(&normed, &normed, bias)?;
        let x = (x + attended)?;
        &x + self.mlp.forward(&self.norm_after.forward(&x)?)?
    }
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, None)
    }
}
