//! CLIP's vision tower (Radford et al., 2021, s. 2.4). In (batch, 3, side, side), out
//! (batch, projection_dim).
//!
//! A vision transformer, normalised once more before its blocks, whose class token is projected
//! into the space that texts share. Variables are named as in Hugging Face's
//! `CLIPVisionModelWithProjection`.

use candle_core::{IndexOp, Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::nn::block::{Block, BlockNames, BlockSizes};
use crate::nn::linear::Linear;
use crate::nn::mlp::Activation;
use crate::nn::norm::LayerNorm;
use crate::nn::patches::PatchEmbedding;

/// Sizes of a tower, under the keys of published `config.json` files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipVisionConfig {
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
    /// Length of the output.
    pub projection_dim: usize,
    /// The perceptron's non-linearity.
    pub hidden_act: Activation,
    /// Added to variances.
    pub layer_norm_eps: f64,
}

const NAMES: BlockNames = BlockNames {
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

/// The tower.
#[derive(Clone, Debug)]
pub struct ClipTower {
    patches: PatchEmbedding,
    class_token: Tensor,
    positions: Tensor,
    norm_before: LayerNorm,
    blocks: Vec<Block>,
    norm_after: LayerNorm,
    projection: Linear,
}

impl ClipTower {
    /// Reads the tower, or starts it for training.
    ///
    /// # Errors
    /// If the sizes do not fit together, or a weight is missing or of another shape.
    pub fn new(config: &ClipVisionConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (dim, eps) = (config.hidden_size, config.layer_norm_eps);
        let model = vb.pp("vision_model");
        let embeddings = model.pp("embeddings");
        let patch = embeddings.pp("patch_embedding");
        let patches = PatchEmbedding::new(config.image_size, config.patch_size, dim, false, patch)?;
        let tokens = patches.grid().pow(2) + 1;
        let normal = |stdev| Init::Randn { mean: 0.0, stdev };
        let positions = embeddings.pp("position_embedding");
        let sizes = BlockSizes {
            dim,
            heads: config.num_attention_heads,
            hidden: config.intermediate_size,
            activation: config.hidden_act,
            eps,
        };
        let layers = model.pp("encoder.layers");
        let blocks = (0..config.num_hidden_layers)
            .map(|layer| Block::new(sizes, &NAMES, layers.pp(layer)))
            .collect::<Result<_>>()?;
        let projection = vb.pp("visual_projection");
        Ok(Self {
            patches,
            class_token: embeddings.get_with_hints(
                dim,
                "class_embedding",
                normal((dim as f64).powf(-0.5)),
            )?,
            positions: positions.get_with_hints((tokens, dim), "weight", normal(0.02))?,
            // Published checkpoints spell it like this.
            norm_before: LayerNorm::new(dim, eps, model.pp("pre_layrnorm"))?,
            blocks,
            norm_after: LayerNorm::new(dim, eps, model.pp("post_layernorm"))?,
            projection: Linear::without_bias(dim, config.projection_dim, projection)?,
        })
    }
}

impl Module for ClipTower {
    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let embedded = self.patches.forward(pixels)?;
        let (batch, _, dim) = embedded.dims3()?;
        let class_token = self.class_token.broadcast_as((batch, 1, dim))?;
        let tokens = Tensor::cat(&[&class_token, &embedded], 1)?;
        let tokens = tokens.broadcast_add(&self.positions)?;
        let mut tokens = self.norm_before.forward(&tokens)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens)?;
        }
        let class_token = self.norm_after.forward(&tokens.i((.., 0, ..))?)?;
        self.projection.forward(&class_token)
    }
}
