//! Vision transformer (Dosovitskiy et al., 2021, s. 3.1). In (batch, 3, side, side), out (batch, dim).
//!
//! Patches are embedded linearly, a class token is put before them, positions are added, and
//! pre-norm transformer blocks follow; the output is the normalised class token. Variables are
//! named as in Hugging Face's `ViTModel`.

use std::path::Path;

use candle_core::{IndexOp, Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use super::{Architecture, ImageEncoder};
use crate::nn::block::{Block, BlockNames, BlockSizes};
use crate::nn::mlp::Activation;
use crate::nn::norm::LayerNorm;
use crate::nn::patches::PatchEmbedding;
use crate::weights::layout::Layout;

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

/// Settings that are known in one value alone.
pub(super) const FIXED: &[(&str, &str)] = &[("qkv_bias", "true"), ("num_channels", "3")];

/// `ViTModel` and `ViTForImageClassification`, below their prefix `vit`.
pub(super) const HUGGING_FACE: Layout = Layout {
    others: &["classifier.", "vit.pooler.", "pooler."],
    ..Layout::SAME
};

impl Architecture for VitConfig {
    /// 2.7 M parameters.
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

    fn build(&self, vb: VarBuilder<'_>, _: &Path) -> Result<Box<dyn ImageEncoder>> {
        Ok(Box::new(Vit::new(self, vb)?))
    }
}

/// What Hugging Face's `ViTModel` calls the parts of a block.
const NAMES: BlockNames = BlockNames {
    norm_before: "layernorm_before",
    attention: [
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
        "attention.output.dense",
    ],
    norm_after: "layernorm_after",
    mlp: ["intermediate.dense", "output.dense"],
};

/// The vision transformer.
#[derive(Clone, Debug)]
pub struct Vit {
    patches: PatchEmbedding,
    class_token: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    width: usize,
}

impl Vit {
    /// Reads the network, or starts it for training.
    ///
    /// # Errors
    /// If the sizes do not fit together, or a weight is missing or of another shape.
    pub fn new(config: &VitConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (dim, eps) = (config.hidden_size, config.layer_norm_eps);
        let embeddings = vb.pp("embeddings");
        let projection = embeddings.pp("patch_embeddings.projection");
        let patches =
            PatchEmbedding::new(config.image_size, config.patch_size, dim, true, projection)?;
        let tokens = patches.grid().pow(2) + 1;
        let small = Init::Randn {
            mean: 0.0,
            stdev: 0.02,
        };
        let sizes = BlockSizes {
            dim,
            heads: config.num_attention_heads,
            hidden: config.intermediate_size,
            activation: config.hidden_act,
            eps,
        };
        let layers = vb.pp("encoder.layer");
        let blocks = (0..config.num_hidden_layers)
            .map(|layer| Block::new(sizes, &NAMES, layers.pp(layer)))
            .collect::<Result<_>>()?;
        Ok(Self {
            patches,
            class_token: embeddings.get_with_hints((1, 1, dim), "cls_token", small)?,
            positions: embeddings.get_with_hints((1, tokens, dim), "position_embeddings", small)?,
            blocks,
            norm: LayerNorm::new(dim, eps, vb.pp("layernorm"))?,
            width: dim,
        })
    }

    /// Class token and patches with their positions: (batch, tokens, dim).
    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let embedded = self.patches.forward(pixels)?;
        let (batch, _, dim) = embedded.dims3()?;
        let class_token = self.class_token.broadcast_as((batch, 1, dim))?;
        let tokens = Tensor::cat(&[&class_token, &embedded], 1)?;
        tokens.broadcast_add(&self.positions)
    }

    /// What the blocks make of pixels: (batch, tokens, dim), not yet normalised.
    fn through_blocks(&self, pixels: &Tensor) -> Result<Tensor> {
        let tokens = self.embed(pixels)?;
        self.blocks
            .iter()
            .try_fold(tokens, |tokens, block| block.forward(&tokens))
    }

    /// All tokens, normalised: (batch, tokens, dim), the class token first.
    ///
    /// # Errors
    /// If the input has another shape.
    pub fn states(&self, pixels: &Tensor) -> Result<Tensor> {
        self.norm.forward(&self.through_blocks(pixels)?)
    }
}

impl ImageEncoder for Vit {
    fn learnt(&self, pixels: &Tensor) -> Result<Tensor> {
        // Only the class token leaves, so only it needs the last normalisation.
        let tokens = self.through_blocks(pixels)?;
        self.norm.forward(&tokens.i((.., 0, ..))?)
    }

    fn width(&self) -> usize {
        self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::Fixture;

    #[test]
    fn every_stage_is_the_references() {
        let fixture = Fixture::open("vit");
        let config: VitConfig = fixture.json("config.json");
        let vit = fixture.build("model", HUGGING_FACE, |vb| Vit::new(&config, vb.pp("vit")));
        let mut tokens = vit.embed(&fixture.tensor("pixels")).unwrap();
        fixture.compare("embeddings", &tokens);
        for (number, block) in vit.blocks.iter().enumerate() {
            tokens = block.forward(&tokens).unwrap();
            fixture.compare(&format!("block.{number}"), &tokens);
        }
        fixture.compare("last", &vit.states(&fixture.tensor("pixels")).unwrap());
    }
}
