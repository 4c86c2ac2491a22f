//! CLIP's vision tower (Radford et al., 2021, s. 2.4). In (batch, 3, side, side), out
//! (batch, projection_dim).
//!
//! A vision transformer, normalised once more before its blocks, whose class token is projected
//! into the space that texts share. Variables are named as in Hugging Face's
//! `CLIPVisionModelWithProjection`.

use candle_core::{IndexOp, Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::files::overlaid;
use crate::nn::block::{Block, BlockSizes, CLIP_NAMES};
use crate::nn::linear::Linear;
use crate::nn::mlp::Activation;
use crate::nn::norm::LayerNorm;
use crate::nn::patches::PatchEmbedding;
use crate::weights::layout::Layout;
use crate::weights::open_clip::OpenClipConfig;

/// Sizes of a tower, under the keys of published `config.json` files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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

impl Default for ClipVisionConfig {
    /// Those of `openai/clip-vit-base-patch32`, which files are silent about.
    fn default() -> Self {
        Self {
            image_size: 224,
            patch_size: 32,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            projection_dim: 512,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipVisionConfig {
    /// What the `config.json` of a `CLIPModel`, or of its image tower alone, says.
    ///
    /// # Errors
    /// If it says something else.
    pub fn from_hugging_face(config: &serde_json::Value) -> serde_json::Result<Self> {
        let Some(own) = config.get("vision_config") else {
            return Self::deserialize(config);
        };
        // Old files repeat the settings, and these count.
        let own = overlaid(own.clone(), &config["vision_config_dict"]);
        let mut read: Self = serde_json::from_value(own)?;
        if let Some(dim) = config.get("projection_dim") {
            read.projection_dim = usize::deserialize(dim)?;
        }
        Ok(read)
    }

    /// What open_clip's configuration says.
    pub fn from_open_clip(config: &OpenClipConfig) -> Self {
        let vision = &config.model_cfg.vision_cfg;
        Self {
            image_size: vision.image_size,
            patch_size: vision.patch_size,
            hidden_size: vision.width,
            num_hidden_layers: vision.layers,
            num_attention_heads: vision.width / vision.head_width.max(1),
            intermediate_size: (vision.width as f64 * vision.mlp_ratio) as usize,
            projection_dim: config.model_cfg.embed_dim,
            hidden_act: Activation::gelu(config.model_cfg.quick_gelu),
            layer_norm_eps: 1e-5,
        }
    }
}

/// `CLIPModel` and `CLIPVisionModelWithProjection`: this tower and the other's weights.
pub(in crate::image) const HUGGING_FACE: Layout = Layout {
    others: &["text_model.", "text_projection.", "logit_scale"],
    tables: &["embeddings.position_ids"],
    ..Layout::SAME
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
            .map(|layer| Block::new(sizes, &CLIP_NAMES, layers.pp(layer)))
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

    /// Class token and patches with their positions, normalised: (batch, tokens, dim).
    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let embedded = self.patches.forward(pixels)?;
        let (batch, _, dim) = embedded.dims3()?;
        let class_token = self.class_token.broadcast_as((batch, 1, dim))?;
        let tokens = Tensor::cat(&[&class_token, &embedded], 1)?;
        let tokens = tokens.broadcast_add(&self.positions)?;
        self.norm_before.forward(&tokens)
    }
}

impl Module for ClipTower {
    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let mut tokens = self.embed(pixels)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens)?;
        }
        let class_token = self.norm_after.forward(&tokens.i((.., 0, ..))?)?;
        self.projection.forward(&class_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::Fixture;

    #[test]
    fn every_stage_is_the_references() {
        let fixture = Fixture::open("clip");
        let config: serde_json::Value = fixture.json("config.json");
        let config = ClipVisionConfig::from_hugging_face(&config).unwrap();
        let tower = fixture.build("model", HUGGING_FACE, |vb| ClipTower::new(&config, vb));
        let mut tokens = tower.embed(&fixture.tensor("pixels")).unwrap();
        fixture.compare("vision.embeddings", &tokens);
        for (number, block) in tower.blocks.iter().enumerate() {
            tokens = block.forward(&tokens).unwrap();
            fixture.compare(&format!("vision.block.{number}"), &tokens);
        }
        let embeds = tower.forward(&fixture.tensor("pixels")).unwrap();
        fixture.compare("image_embeds", &embeds);
    }
}
