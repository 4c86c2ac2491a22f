//! Vision transformer (Dosovitskiy et al., 2021, s. 3.1). In (batch, 3, side, side), out (batch, dim).
//!
//! Patches are embedded linearly, a class token is put before them, positions are added, and
//! pre-norm transformer blocks follow; the output is the normalised class token. Variables are
//! named as in Hugging Face's `ViTModel`.

use candle_core::{IndexOp, Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use super::{Architecture, ImageEncoder};
use crate::nn::attention::SelfAttention;
use crate::nn::mlp::{Activation, Mlp};
use crate::nn::norm::LayerNorm;

/// Sizes of a vision transformer, under the keys of published `config.json` files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VitConfig {
    /// Width and height of the input in pixels.
    pub image_size: usize,
    /// Width and height of a patch in pixels; divides `image_size`.
    pub patch_size: usize,
    /// Length of a token.
    pub hidden_size: usize,
    /// Number of transformer blocks.
    pub num_hidden_layers: usize,
    /// Attention heads a block; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the perceptron in a block.
    pub intermediate_size: usize,
    /// The perceptron's non-linearity.
    pub hidden_act: Activation,
    /// Added to variances.
    pub layer_norm_eps: f64,
}

impl Architecture for VitConfig {
    /// 2.9 M parameters.
    fn pocket() -> Self {
        Self {
            image_size: 64,
            patch_size: 8,
            hidden_size: 192,
            num_hidden_layers: 6,
            num_attention_heads: 3,
            intermediate_size: 768,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
        }
    }

    fn side(&self) -> usize {
        self.image_size
    }

    fn build(&self, vb: VarBuilder<'_>) -> Result<Box<dyn ImageEncoder>> {
        Ok(Box::new(Vit::new(self, vb)?))
    }
}

/// The vision transformer.
#[derive(Clone, Debug)]
pub struct Vit {
    config: VitConfig,
    projection: Tensor,
    projection_bias: Tensor,
    class_token: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

#[derive(Clone, Debug)]
struct Block {
    norm_before: LayerNorm,
    attention: SelfAttention,
    norm_after: LayerNorm,
    mlp: Mlp,
}

impl Vit {
    /// Reads the network, or starts it for training.
    ///
    /// # Errors
    /// If the sizes do not fit together, or a weight is missing or of another shape.
    pub fn new(config: &VitConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let &VitConfig {
            image_size,
            patch_size,
            hidden_size: dim,
            ..
        } = config;
        if patch_size == 0 || image_size == 0 || !image_size.is_multiple_of(patch_size) {
            candle_core::bail!("patches of {patch_size} pixels do not divide {image_size}");
        }
        let patches = (image_size / patch_size).pow(2);
        let embeddings = vb.pp("embeddings");
        let patch = embeddings.pp("patch_embeddings").pp("projection");
        let bound = 1.0 / ((3 * patch_size * patch_size) as f64).sqrt();
        let small = Init::Randn {
            mean: 0.0,
            stdev: 0.02,
        };
        let blocks = (0..config.num_hidden_layers)
            .map(|layer| Block::new(config, vb.pp("encoder").pp("layer").pp(layer)))
            .collect::<Result<_>>()?;
        Ok(Self {
            config: config.clone(),
            projection: patch.get_with_hints(
                (dim, 3, patch_size, patch_size),
                "weight",
                Init::Uniform {
                    lo: -bound,
                    up: bound,
                },
            )?,
            projection_bias: patch.get_with_hints(dim, "bias", Init::Const(0.0))?,
            class_token: embeddings.get_with_hints((1, 1, dim), "cls_token", small)?,
            positions: embeddings.get_with_hints(
                (1, patches + 1, dim),
                "position_embeddings",
                small,
            )?,
            blocks,
            norm: LayerNorm::new(dim, config.layer_norm_eps, vb.pp("layernorm"))?,
        })
    }

    /// (batch, 3, side, side) to (batch, patches, 3 * patch * patch), row by row.
    fn patches(&self, pixels: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = pixels.dims4()?;
        let side = self.config.image_size;
        if (channels, height, width) != (3, side, side) {
            candle_core::bail!(
                "images are {channels} x {height} x {width}, not 3 x {side} x {side}"
            );
        }
        let patch = self.config.patch_size;
        let grid = side / patch;
        pixels
            .reshape(&[batch, 3, grid, patch, grid, patch])?
            .permute([0, 2, 4, 1, 3, 5])?
            .reshape((batch, grid * grid, 3 * patch * patch))
    }
}

impl ImageEncoder for Vit {
    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let patches = self.patches(pixels)?;
        let (batch, count, length) = patches.dims3()?;
        let dim = self.config.hidden_size;
        let projection = self.projection.reshape((dim, length))?.t()?;
        let embedded = patches
            .reshape((batch * count, length))?
            .matmul(&projection)?;
        let embedded = embedded
            .broadcast_add(&self.projection_bias)?
            .reshape((batch, count, dim))?;
        let class_token = self.class_token.broadcast_as((batch, 1, dim))?;
        let tokens = Tensor::cat(&[&class_token, &embedded], 1)?;
        let mut tokens = tokens.broadcast_add(&self.positions)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens)?;
        }
        // Only the class token leaves, so only it needs the last normalisation.
        self.norm.forward(&tokens.i((.., 0, ..))?)
    }

    fn width(&self) -> usize {
        self.config.hidden_size
    }
}

impl Block {
    fn new(config: &VitConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (dim, eps) = (config.hidden_size, config.layer_norm_eps);
        Ok(Self {
            norm_before: LayerNorm::new(dim, eps, vb.pp("layernorm_before"))?,
            attention: SelfAttention::new(dim, config.num_attention_heads, vb.pp("attention"))?,
            norm_after: LayerNorm::new(dim, eps, vb.pp("layernorm_after"))?,
            mlp: Mlp::new(dim, config.intermediate_size, config.hidden_act, vb)?,
        })
    }
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = (x + self.attention.forward(&self.norm_before.forward(x)?)?)?;
        &x + self.mlp.forward(&self.norm_after.forward(&x)?)?
    }
}
