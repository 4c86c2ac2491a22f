//! SwinV2 as timm publishes it: the sizes that a model's name stands for, and what it calls the parts.

use serde::Deserialize;

use super::SwinConfig;
use crate::nn::mlp::Activation;
use crate::weights::layout::{Layout, Source, renamed};

/// `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::image) struct TimmConfig {
    /// The model's name.
    pub(in crate::image) architecture: String,
    /// What it was made with instead of what its name stands for.
    #[serde(default)]
    pub(in crate::image) model_args: ModelArgs,
    /// How images are made ready.
    pub(in crate::image) pretrained_cfg: PretrainedConfig,
}

/// Sizes that differ from those that a name stands for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::image) struct ModelArgs {
    // These belong to the head, which is not read.
    #[serde(rename = "num_classes")]
    _classes: serde::de::IgnoredAny,
    #[serde(rename = "global_pool")]
    _pooling: serde::de::IgnoredAny,
    #[serde(rename = "in_chans")]
    _channels: serde::de::IgnoredAny,
    img_size: Option<Side>,
    patch_size: Option<Side>,
    embed_dim: Option<usize>,
    depths: Option<Vec<usize>>,
    num_heads: Option<Vec<usize>>,
    window_size: Option<Side>,
    pretrained_window_sizes: Option<Vec<usize>>,
    mlp_ratio: Option<f64>,
}

/// One number, or the same twice.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Side {
    One(usize),
    Both(usize, usize),
}

impl Side {
    fn square(self) -> Option<usize> {
        match self {
            Self::One(side) => Some(side),
            Self::Both(height, width) => (height == width).then_some(width),
        }
    }
}

/// How images are made ready.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::image) struct PretrainedConfig {
    pub(in crate::image) mean: [f32; 3],
    pub(in crate::image) std: [f32; 3],
    pub(in crate::image) interpolation: String,
    pub(in crate::image) crop_pct: f64,
    #[serde(default)]
    pub(in crate::image) crop_mode: Option<String>,
}

/// Tokens' length, depths and heads by a size's name.
const SIZES: [(&str, usize, [usize; 4], [usize; 4]); 4] = [
    ("tiny", 96, [2, 2, 6, 2], [3, 6, 12, 24]),
    ("small", 96, [2, 2, 18, 2], [3, 6, 12, 24]),
    ("base", 128, [2, 2, 18, 2], [4, 8, 16, 32]),
    ("large", 192, [2, 2, 18, 2], [6, 12, 24, 48]),
];

impl TimmConfig {
    /// The sizes; `None` if the name is none of those that are known or a side is not square.
    pub(in crate::image) fn sizes(&self) -> Option<SwinConfig> {
        // `swinv2_base_window12to16_192to256`, perhaps with a tag: `.ms_in22k_ft_in1k`.
        let name = self.architecture.split('.').next()?;
        let mut parts = name.strip_prefix("swinv2_")?.split('_');
        let size = parts.next()?;
        let &(_, embed_dim, depths, num_heads) = SIZES.iter().find(|it| it.0 == size)?;
        let (window, trained) = {
            let text = parts.next()?.strip_prefix("window")?;
            match text.split_once("to") {
                Some((trained, window)) => (window.parse().ok()?, trained.parse().ok()?),
                None => (text.parse().ok()?, 0),
            }
        };
        let image_size = parts.next()?.rsplit("to").next()?.parse().ok()?;
        // What was trained with smaller windows had one of half the size in its last stage.
        let pretrained = match trained {
            0 => vec![0; 4],
            trained => vec![trained, trained, trained, trained / 2],
        };
        let args = &self.model_args;
        let side = |given: Option<Side>, usual: usize| match given {
            Some(side) => side.square(),
            None => Some(usual),
        };
        Some(SwinConfig {
            image_size: side(args.img_size, image_size)?,
            patch_size: side(args.patch_size, 4)?,
            embed_dim: args.embed_dim.unwrap_or(embed_dim),
            depths: args.depths.clone().unwrap_or(depths.to_vec()),
            num_heads: args.num_heads.clone().unwrap_or(num_heads.to_vec()),
            window_size: side(args.window_size, window)?,
            pretrained_window_sizes: args.pretrained_window_sizes.clone().unwrap_or(pretrained),
            mlp_ratio: args.mlp_ratio.unwrap_or(4.0),
            qkv_bias: true,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-5,
            mask: MASK,
        })
    }
}

/// What is added to the scores of tokens that share a window by the shift alone.
const MASK: f32 = -100.0;

/// A checkpoint of timm.
pub(in crate::image) const TIMM: Layout = Layout {
    source,
    others: &["head."],
    tables: &[
        "relative_coords_table",
        "relative_position_index",
        "attn_mask",
        ".k_bias",
    ],
};

/// The parts of a block.
const IN_BLOCK: [(&str, &str); 9] = [
    ("attention.self.query.bias", "attn.q_bias"),
    ("attention.self.value.bias", "attn.v_bias"),
    ("attention.self.logit_scale", "attn.logit_scale"),
    (
        "attention.self.continuous_position_bias_mlp.",
        "attn.cpb_mlp.",
    ),
    ("attention.output.dense.", "attn.proj."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
];

/// The parts that do not belong to a stage.
const PARTS: [(&str, &str); 3] = [
    (
        "embeddings.patch_embeddings.projection.",
        "patch_embed.proj.",
    ),
    ("embeddings.norm.", "patch_embed.norm."),
    ("layernorm.", "norm."),
];

fn source(name: &str) -> Source {
    let Some(rest) = name.strip_prefix("encoder.layers.") else {
        return Source::whole(renamed(name, &PARTS));
    };
    let (stage, part) = rest.split_once('.').unwrap_or((rest, ""));
    if let Some(rest) = part.strip_prefix("downsample.") {
        // There a stage begins with what here ends the one before it.
        let next = stage.parse::<usize>().map_or(0, |stage| stage + 1);
        return Source::whole(format!("layers.{next}.downsample.{rest}"));
    }
    let in_block = part
        .strip_prefix("blocks.")
        .and_then(|rest| rest.split_once('.'));
    let Some((block, part)) = in_block else {
        return Source::whole(name);
    };
    let blocks = format!("layers.{stage}.blocks.{block}");
    for (index, joined) in ["query", "key", "value"].iter().enumerate() {
        if part == format!("attention.self.{joined}.weight") {
            return Source::rows(format!("{blocks}.attn.qkv.weight"), index, 3);
        }
    }
    Source::whole(format!("{blocks}.{}", renamed(part, &IN_BLOCK)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_sizes() {
        let named = |architecture: &str| {
            let config = serde_json::json!({
                "architecture": architecture,
                "pretrained_cfg": {
                    "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
                    "interpolation": "bicubic", "crop_pct": 0.9,
                },
            });
            serde_json::from_value::<TimmConfig>(config)
                .unwrap()
                .sizes()
        };
        let base = named("swinv2_base_window12to24_192to384.ms_in22k_ft_in1k").unwrap();
        assert_eq!(
            (base.image_size, base.window_size, base.embed_dim),
            (384, 24, 128)
        );
        assert_eq!(base.pretrained_window_sizes, [12, 12, 12, 6]);
        let tiny = named("swinv2_tiny_window8_256").unwrap();
        assert_eq!((tiny.image_size, tiny.window_size), (256, 8));
        assert_eq!(named("swin_tiny_patch4_window7_224"), None);
        assert_eq!(named("swinv2_cr_tiny_224"), None);
    }
}
