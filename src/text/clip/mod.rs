//! CLIP's text tower (Radford et al., 2021, s. 2.4): token numbers (batch, tokens) in, token states (batch,
//! tokens, dim) out. It looks backwards only, so that what follows the end of a text changes nothing
//! before it.
//!
//! Its states are what Stable Diffusion attends to; the state of a text's end, projected, lies in the space
//! that images share. Variables are named as in Hugging Face's `CLIPTextModelWithProjection`.

pub mod tokenizer;

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::files::overlaid;
use crate::nn::attention::backwards_only;
use crate::nn::block::{Block, BlockSizes, CLIP_NAMES};
use crate::nn::linear::Linear;
use crate::nn::mlp::Activation;
use crate::nn::norm::LayerNorm;
use crate::weights::checkpoint::Checkpoint;
use crate::weights::layout::{Layout, Source};
use crate::weights::open_clip::OpenClipConfig;

/// Sizes of a text tower, under the keys of published `config.json` files; those of
/// `openai/clip-vit-base-patch32` where a file is silent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// Number of tokens there are.
    pub vocab_size: usize,
    /// Length of a token's state.
    pub hidden_size: usize,
    /// Number of transformer blocks.
    pub num_hidden_layers: usize,
    /// Attention heads a block; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the perceptron in a block.
    pub intermediate_size: usize,
    /// Tokens of the longest text, with begin and end.
    pub max_position_embeddings: usize,
    /// Length of a projected text.
    pub projection_dim: usize,
    /// The perceptron's non-linearity.
    pub hidden_act: Activation,
    /// Added to variances.
    pub layer_norm_eps: f64,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49_408,
            hidden_size: 512,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            intermediate_size: 2048,
            max_position_embeddings: 77,
            projection_dim: 512,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipTextConfig {
    /// What the `config.json` of a `CLIPModel`, or of its text tower alone, says.
    ///
    /// # Errors
    /// If it says something else.
    pub fn from_hugging_face(config: &serde_json::Value) -> serde_json::Result<Self> {
        let Some(own) = config.get("text_config") else {
            return Self::deserialize(config);
        };
        // Old files repeat the settings, and these count.
        let own = overlaid(own.clone(), &config["text_config_dict"]);
        let mut read: Self = serde_json::from_value(own)?;
        if let Some(dim) = config.get("projection_dim") {
            read.projection_dim = usize::deserialize(dim)?;
        }
        Ok(read)
    }

    /// What open_clip's configuration says.
    pub fn from_open_clip(config: &OpenClipConfig) -> Self {
        let text = &config.model_cfg.text_cfg;
        Self {
            vocab_size: text.vocab_size,
            hidden_size: text.width,
            num_hidden_layers: text.layers,
            num_attention_heads: text.heads,
            intermediate_size: (text.width as f64 * text.mlp_ratio) as usize,
            max_position_embeddings: text.context_length,
            projection_dim: config.model_cfg.embed_dim,
            hidden_act: Activation::gelu(config.model_cfg.quick_gelu),
            layer_norm_eps: 1e-5,
        }
    }
}

/// `CLIPModel`, `CLIPTextModel` and `CLIPTextModelWithProjection`: this tower and the other's weights.
pub(crate) const HUGGING_FACE: Layout = Layout {
    others: &[
        "vision_model.",
        "visual_projection.",
        "text_projection.",
        "logit_scale",
    ],
    tables: &["embeddings.position_ids"],
    ..Layout::SAME
};

/// The same as transformers 5 saves a text tower that stands alone: its names lack what stands before them here.
const ALONE: Layout = Layout {
    source: |name| Source::whole(name.strip_prefix("text_model.").unwrap_or(name)),
    ..HUGGING_FACE
};

/// The layout of a checkpoint of Hugging Face.
pub(crate) fn layout(checkpoint: &Checkpoint) -> Layout {
    if checkpoint.has_below("text_model.") {
        HUGGING_FACE
    } else {
        ALONE
    }
}

/// The tower without its projection.
pub struct ClipTextTower {
    tokens: Tensor,
    places: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl ClipTextTower {
    /// Reads the tower, or starts it for training.
    ///
    /// # Errors
    /// If the sizes do not fit together, or a weight is missing or of another shape.
    pub fn new(config: &ClipTextConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let dim = config.hidden_size;
        let model = vb.pp("text_model");
        let embeddings = model.pp("embeddings");
        let table = |rows: usize, name: &str| {
            let init = Init::Randn {
                mean: 0.0,
                stdev: 0.02,
            };
            embeddings
                .pp(name)
                .get_with_hints((rows, dim), "weight", init)
        };
        let sizes = BlockSizes {
            dim,
            heads: config.num_attention_heads,
            hidden: config.intermediate_size,
            activation: config.hidden_act,
            eps: config.layer_norm_eps,
        };
        let layers = model.pp("encoder.layers");
        Ok(Self {
            tokens: table(config.vocab_size, "token_embedding")?,
            places: table(config.max_position_embeddings, "position_embedding")?,
            blocks: (0..config.num_hidden_layers)
                .map(|layer| Block::new(sizes, &CLIP_NAMES, layers.pp(layer)))
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(dim, config.layer_norm_eps, model.pp("final_layer_norm"))?,
        })
    }

    /// Tokens and their places: (batch, tokens, dim).
    fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, tokens) = ids.dims2()?;
        let states = self.tokens.index_select(&ids.flatten_all()?, 0)?;
        states
            .reshape((batch, tokens, ()))?
            .broadcast_add(&self.places.narrow(0, 0, tokens)?)
    }

    /// The normalised state of every token: (batch, tokens, dim). `ids` is (batch, tokens), `u32`.
    ///
    /// # Errors
    /// If a number is that of no token, or there are more tokens than places.
    pub fn states(&self, ids: &Tensor) -> Result<Tensor> {
        let mask = backwards_only(ids.dim(1)?, ids.device())?;
        let states = self
            .blocks
            .iter()
            .try_fold(self.embed(ids)?, |states, block| {
                block.forward_with(&states, Some(&mask))
            })?;
        self.norm.forward(&states)
    }
}

/// The projection of a text's end into the space that images share: in (batch, dim), out (batch,
/// projection_dim).
///
/// # Errors
/// If it is missing or of another shape.
pub fn projection(config: &ClipTextConfig, vb: &VarBuilder<'_>) -> Result<Linear> {
    let (dim, projected) = (config.hidden_size, config.projection_dim);
    Linear::without_bias(dim, projected, vb.pp("text_projection"))
}

#[cfg(test)]
mod tests {
    use candle_core::IndexOp;

    use super::*;
    use crate::parity::{Fixture, device};

    #[test]
    fn every_stage_is_the_references() {
        let fixture = Fixture::open("clip");
        let config: serde_json::Value = fixture.json("config.json");
        let config = ClipTextConfig::from_hugging_face(&config).unwrap();
        let (tower, last) = fixture.build("model", HUGGING_FACE, |vb| {
            Ok((ClipTextTower::new(&config, &vb)?, projection(&config, &vb)?))
        });
        let ids = fixture.ids("input_ids");
        let mask = backwards_only(ids.dim(1).unwrap(), &device()).unwrap();
        let mut states = tower.embed(&ids).unwrap();
        for (number, block) in tower.blocks.iter().enumerate() {
            states = block.forward_with(&states, Some(&mask)).unwrap();
            fixture.compare(&format!("text.block.{number}"), &states);
        }
        let states = tower.states(&ids).unwrap();
        fixture.compare("text.last", &states);
        let ids: Vec<Vec<u32>> = ids.to_vec2().unwrap();
        let end = *ids[0].iter().max().unwrap();
        let ends: Vec<Tensor> = ids
            .iter()
            .enumerate()
            .map(|(row, ids)| {
                let place = ids.iter().position(|id| *id == end).unwrap();
                last.forward(&states.i((row..=row, place)).unwrap())
                    .unwrap()
            })
            .collect();
        fixture.compare("text_embeds", &Tensor::cat(&ends, 0).unwrap());
    }
}
