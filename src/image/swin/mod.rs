//! Swin Transformer V2 (Liu et al., 2022). In (batch, 3, side, side), out (batch, dim of the last
//! stage).
//!
//! Tokens form a square map, one token a patch, and attend within windows of it; every other block
//! shifts the windows by half (Liu et al., 2021, s. 3.2). Between two stages each four neighbours
//! become one token of twice the length. The output is the mean of the normalised tokens. Variables
//! and configuration are named as in Hugging Face's `Swinv2Model`; absolute positions, which no
//! published checkpoint has, are left out.

mod attention;
mod merging;
mod position;
pub(super) mod timm;
mod windows;

use std::path::Path;

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use serde::{Deserialize, Serialize};

use self::attention::{WindowAttention, WindowSizes};
use self::merging::Merging;
use super::{Architecture, ImageEncoder};
use crate::nn::mlp::{Activation, Mlp};
use crate::nn::norm::LayerNorm;
use crate::nn::patches::PatchEmbedding;
use crate::weights::layout::Layout;

/// Added to the variances of those normalisations that the configuration says nothing of.
const EPS: f64 = 1e-5;

/// Sizes of a Swin transformer, under the keys of published `config.json` files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwinConfig {
    /// Width and height of the input in pixels.
    pub image_size: usize,
    /// Width and height of a patch in pixels; divides `image_size`.
    pub patch_size: usize,
    /// Length of a token in the first stage; it doubles with each further one.
    pub embed_dim: usize,
    /// Number of blocks of each stage.
    pub depths: Vec<usize>,
    /// Attention heads of each stage; each divides the length of its tokens.
    pub num_heads: Vec<usize>,
    /// Width and height of a window in tokens; divides each map that is larger.
    pub window_size: usize,
    /// The windows of each stage that positions were learnt with, if they were other ones; else 0.
    #[serde(default)]
    pub pretrained_window_sizes: Vec<usize>,
    /// Width of the perceptron in a block, over the length of a token.
    pub mlp_ratio: f64,
    /// Whether queries and values have a bias; keys never do.
    pub qkv_bias: bool,
    /// The perceptron's non-linearity.
    pub hidden_act: Activation,
    /// Added to variances.
    pub layer_norm_eps: f64,
    /// Added to the scores of tokens that share a window only because the shift wraps around: -100 twice in Hugging
    /// Face's model.
    #[serde(default = "usual_mask", skip_serializing_if = "is_usual_mask")]
    pub mask: f32,
}

fn usual_mask() -> f32 {
    -200.0
}

fn is_usual_mask(mask: &f32) -> bool {
    *mask == usual_mask()
}

/// Settings that are known in one value alone.
pub(super) const FIXED: &[(&str, &str)] =
    &[("use_absolute_embeddings", "false"), ("num_channels", "3")];

/// `Swinv2Model` and `Swinv2ForImageClassification`, below their prefix `swinv2`.
pub(super) const HUGGING_FACE: Layout = Layout {
    others: &["classifier.", "decoder.", "swinv2.embeddings.mask_token"],
    tables: &["relative_coords_table", "relative_position_index"],
    ..Layout::SAME
};

impl Architecture for SwinConfig {
    /// 2.3 M parameters.
    fn pocket() -> Self {
        Self {
            image_size: 64,
            patch_size: 4,
            embed_dim: 64,
            depths: vec![2, 2, 2],
            num_heads: vec![2, 4, 8],
            window_size: 4,
            pretrained_window_sizes: vec![0, 0, 0],
            mlp_ratio: 4.0,
            qkv_bias: true,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-5,
            mask: usual_mask(),
        }
    }

    fn side(&self) -> usize {
        self.image_size
    }

    fn build(&self, vb: VarBuilder<'_>, _: &Path) -> Result<Box<dyn ImageEncoder>> {
        Ok(Box::new(Swin::new(self, vb)?))
    }
}

/// The Swin transformer.
#[derive(Clone, Debug)]
pub struct Swin {
    patches: PatchEmbedding,
    norm_before: LayerNorm,
    stages: Vec<Stage>,
    norm_after: LayerNorm,
    width: usize,
}

/// Blocks on maps of one size, and the way to the next.
#[derive(Clone, Debug)]
struct Stage {
    blocks: Vec<Block>,
    merging: Option<Merging>,
}

/// Attention, then a perceptron, each normalised *after* it and added to what came in (s. 3.2).
#[derive(Clone, Debug)]
struct Block {
    attention: WindowAttention,
    norm_before: LayerNorm,
    mlp: Mlp,
    norm_after: LayerNorm,
}

/// Tokens a side of the largest window.
const MAX_WINDOW: usize = 64;

impl Swin {
    /// Reads the network, or starts it for training.
    ///
    /// # Errors
    /// If the sizes do not fit together, or a weight is missing or of another shape.
    pub fn new(config: &SwinConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let count = config.depths.len();
        if count == 0 || config.num_heads.len() != count {
            candle_core::bail!("{count} depths for {} num_heads", config.num_heads.len());
        }
        // What is made for the places in a window grows with the fourth power of its side.
        if config.window_size > MAX_WINDOW {
            candle_core::bail!("window_size {} is above {MAX_WINDOW}", config.window_size);
        }
        let (mut dim, embeddings) = (config.embed_dim, vb.pp("embeddings"));
        let projection = embeddings.pp("patch_embeddings.projection");
        let patches =
            PatchEmbedding::new(config.image_size, config.patch_size, dim, true, projection)?;
        let norm_before = LayerNorm::new(dim, EPS, embeddings.pp("norm"))?;
        let mut map = patches.grid();
        let mut stages = Vec::with_capacity(count);
        for number in 0..count {
            let vb = vb.pp("encoder.layers").pp(number);
            let blocks = (0..config.depths[number])
                .map(|block| {
                    let sizes = WindowSizes {
                        map,
                        window: config.window_size,
                        shift: (block % 2 == 1).then_some(config.mask),
                        pretrained: *config.pretrained_window_sizes.get(number).unwrap_or(&0),
                        dim,
                        heads: config.num_heads[number],
                    };
                    Block::new(config, &sizes, vb.pp("blocks").pp(block))
                })
                .collect::<Result<_>>()?;
            let merging = if number + 1 < count {
                let merging = Merging::new(map, dim, vb.pp("downsample"))?;
                (map, dim) = (map / 2, dim * 2);
                Some(merging)
            } else {
                None
            };
            stages.push(Stage { blocks, merging });
        }
        Ok(Self {
            patches,
            norm_before,
            stages,
            norm_after: LayerNorm::new(dim, config.layer_norm_eps, vb.pp("layernorm"))?,
            width: dim,
        })
    }
}

impl Swin {
    /// The normalised tokens of the last stage: (batch, tokens, dim).
    ///
    /// # Errors
    /// If the input has another shape.
    pub fn states(&self, pixels: &Tensor) -> Result<Tensor> {
        let tokens = self.norm_before.forward(&self.patches.forward(pixels)?)?;
        let tokens = self.stages.iter().try_fold(tokens, |tokens, stage| {
            let tokens = stage.through_blocks(tokens)?;
            match &stage.merging {
                Some(merging) => merging.forward(&tokens),
                None => Ok(tokens),
            }
        })?;
        self.norm_after.forward(&tokens)
    }
}

impl Stage {
    fn through_blocks(&self, tokens: Tensor) -> Result<Tensor> {
        self.blocks
            .iter()
            .try_fold(tokens, |tokens, block| block.forward(&tokens))
    }
}

impl ImageEncoder for Swin {
    fn learnt(&self, pixels: &Tensor) -> Result<Tensor> {
        self.states(pixels)?.mean(1)
    }

    fn width(&self) -> usize {
        self.width
    }
}

impl Block {
    fn new(config: &SwinConfig, sizes: &WindowSizes, vb: VarBuilder<'_>) -> Result<Self> {
        let (dim, eps) = (sizes.dim, config.layer_norm_eps);
        let hidden = (config.mlp_ratio * dim as f64) as usize;
        let mlp = ["intermediate.dense", "output.dense"].map(|name| vb.pp(name));
        Ok(Self {
            attention: WindowAttention::new(sizes, config.qkv_bias, vb.pp("attention"))?,
            norm_before: LayerNorm::new(dim, eps, vb.pp("layernorm_before"))?,
            mlp: Mlp::new(dim, hidden, config.hidden_act, mlp)?,
            norm_after: LayerNorm::new(dim, eps, vb.pp("layernorm_after"))?,
        })
    }
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = (x + self.norm_before.forward(&self.attention.forward(x)?)?)?;
        &x + self.norm_after.forward(&self.mlp.forward(&x)?)?
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::image::encoders::EncoderConfig;
    use crate::image::published::PublishedEncoder;
    use crate::parity::{Fixture, device};

    /// In the layouts of Hugging Face and of timm.
    #[test]
    fn every_stage_is_the_references() {
        for name in ["swinv2", "swinv2-timm"] {
            let fixture = Fixture::open(name);
            let published = PublishedEncoder::open(fixture.folder()).unwrap();
            let EncoderConfig::Swin(config) = &published.config else {
                panic!("{:?}", published.config);
            };
            let swin = published
                .build(&device(), |vb| Swin::new(config, vb))
                .unwrap();
            let pixels = fixture.tensor("pixels");
            let mut tokens = swin
                .norm_before
                .forward(&swin.patches.forward(&pixels).unwrap())
                .unwrap();
            for (number, stage) in swin.stages.iter().enumerate() {
                tokens = stage.through_blocks(tokens).unwrap();
                fixture.compare(&format!("stage.{number}"), &tokens);
                if let Some(merging) = &stage.merging {
                    tokens = merging.forward(&tokens).unwrap();
                }
            }
            fixture.compare("last", &swin.states(&pixels).unwrap());
            fixture.compare("pooled", &swin.forward(&pixels).unwrap());
        }
    }
}
