//! CLIP as open_clip publishes it: its configuration, and what it calls the parts of its towers, by the names
//! that Hugging Face's CLIP has for them.

use std::path::Path;

use serde::Deserialize;

use super::layout::{Layout, Source, renamed};
use crate::error::{Error, Result};
use crate::files::json;

/// The name of its configuration.
pub const CONFIG: &str = "open_clip_config.json";

/// What the names of its weights begin with.
pub const STEM: &str = "open_clip_model";

/// `open_clip_config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct OpenClipConfig {
    /// Both towers.
    pub model_cfg: ModelConfig,
    /// How images are made ready.
    #[serde(default)]
    pub preprocess_cfg: PreprocessConfig,
}

/// The two towers.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelConfig {
    /// Length of what both give.
    pub embed_dim: usize,
    /// Whether perceptrons use the sigmoid approximation of GELU.
    #[serde(default)]
    pub quick_gelu: bool,
    /// The image tower.
    pub vision_cfg: VisionConfig,
    /// The text tower.
    pub text_cfg: TextConfig,
}

/// The image tower: a vision transformer.
#[derive(Clone, Debug, Deserialize)]
pub struct VisionConfig {
    /// Width and height of the input in pixels.
    pub image_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Length of a token.
    pub width: usize,
    /// Length of a token in one head.
    #[serde(default = "head_width")]
    pub head_width: usize,
    /// Width of a perceptron, over the length of a token.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: f64,
    /// Width and height of a patch in pixels.
    pub patch_size: usize,
    /// Settings of other towers.
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// The text tower.
#[derive(Clone, Debug, Deserialize)]
pub struct TextConfig {
    /// Tokens of the longest text, with begin and end.
    #[serde(default = "context_length")]
    pub context_length: usize,
    /// Number of tokens there are.
    #[serde(default = "vocab_size")]
    pub vocab_size: usize,
    /// Length of a token's state.
    pub width: usize,
    /// Attention heads a block.
    pub heads: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Width of a perceptron, over the length of a state.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: f64,
    /// Settings of other towers.
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// How images are made ready.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct PreprocessConfig {
    /// Taken away from each channel, after scaling to [0, 1].
    pub mean: [f32; 3],
    /// Divides each channel after that.
    pub std: [f32; 3],
    /// How sizes are changed.
    pub interpolation: String,
    /// Which part of an image is taken.
    pub resize_mode: String,
}

impl Default for PreprocessConfig {
    fn default() -> Self {
        Self {
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_55, 0.261_302_6, 0.275_777_1],
            interpolation: "bicubic".into(),
            resize_mode: "shortest".into(),
        }
    }
}

fn head_width() -> usize {
    64
}

fn mlp_ratio() -> f64 {
    4.0
}

fn context_length() -> usize {
    77
}

fn vocab_size() -> usize {
    49_408
}

/// Settings that change nothing in what is computed here.
const HARMLESS: [&str; 1] = ["patch_dropout"];

/// What pooling is called in the towers that are known: by the class token and by the end of the text.
const POOLING: [&str; 2] = ["tok", "argmax"];

/// Whether the folder is of open_clip: many hold the same model in Hugging Face's layout as well, and perhaps
/// only the weights of that.
pub fn is_in(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    has(CONFIG) && (has(&format!("{STEM}.safetensors")) || !has("config.json"))
}

impl OpenClipConfig {
    /// Reads the configuration in `folder`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not of the architecture of the paper.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let config: Self = json(&path)?;
        let (vision, text) = (&config.model_cfg.vision_cfg, &config.model_cfg.text_cfg);
        let other = |(key, value): &(&String, &serde_json::Value)| {
            let off = value.is_null() || **value == false || **value == 0.0 || **value == 0;
            let usual =
                *key == "pool_type" && value.as_str().is_some_and(|it| POOLING.contains(&it));
            !off && !usual && !HARMLESS.contains(&key.as_str())
        };
        let found = vision.others.iter().chain(&text.others).find(other);
        if let Some((key, value)) = found {
            let why = format!("towers with {key} = {value} are not known");
            return Err(Error::Unsupported { path, why });
        }
        let preprocess = &config.preprocess_cfg;
        if preprocess.interpolation != "bicubic" || preprocess.resize_mode != "shortest" {
            let why =
                "images are made ready by interpolation bicubic and resize_mode shortest alone";
            return Err(Error::Unsupported {
                path,
                why: why.into(),
            });
        }
        Ok(config)
    }
}

/// A checkpoint of which only the image tower is wanted.
pub const VISION: Layout = Layout {
    source,
    others: &[
        "logit_scale",
        "logit_bias",
        "transformer.",
        "token_embedding.",
        "positional_embedding",
        "ln_final.",
        "text_projection",
        "text.",
    ],
    tables: &["attn_mask"],
};

/// The same, of which only the text tower is wanted.
pub const TEXT: Layout = Layout {
    source,
    others: &["logit_scale", "logit_bias", "visual."],
    tables: &["attn_mask"],
};

/// The text tower of a `CustomTextCLIP`, whose names stand below `text`.
pub const TEXT_APART: Layout = Layout {
    source: |name| {
        let Source { name, part } = source(name);
        Source {
            name: format!("text.{name}"),
            part,
        }
    },
    ..TEXT
};

/// The parts that do not belong to a block.
const PARTS: [(&str, &str); 7] = [
    (
        "vision_model.embeddings.class_embedding",
        "visual.class_embedding",
    ),
    (
        "vision_model.embeddings.position_embedding.weight",
        "visual.positional_embedding",
    ),
    ("vision_model.embeddings.patch_embedding.", "visual.conv1."),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),
    ("vision_model.post_layernorm.", "visual.ln_post."),
    (
        "text_model.embeddings.position_embedding.weight",
        "positional_embedding",
    ),
    ("text_model.embeddings.token_embedding.", "token_embedding."),
];

/// The parts of a block.
const IN_BLOCK: [(&str, &str); 5] = [
    ("self_attn.out_proj.", "attn.out_proj."),
    ("layer_norm1.", "ln_1."),
    ("layer_norm2.", "ln_2."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
];

/// Queries, keys and values, which are one matrix there.
const JOINED: [&str; 3] = [
    "self_attn.q_proj.",
    "self_attn.k_proj.",
    "self_attn.v_proj.",
];

fn source(name: &str) -> Source {
    match name {
        "visual_projection.weight" => return Source::transposed("visual.proj"),
        "text_projection.weight" => return Source::transposed("text_projection"),
        _ => {}
    }
    if let Some(rest) = name.strip_prefix("vision_model.encoder.layers.") {
        return in_block("visual.transformer.resblocks.", rest);
    }
    if let Some(rest) = name.strip_prefix("text_model.encoder.layers.") {
        return in_block("transformer.resblocks.", rest);
    }
    if let Some(rest) = name.strip_prefix("text_model.final_layer_norm.") {
        return Source::whole(format!("ln_final.{rest}"));
    }
    Source::whole(renamed(name, &PARTS))
}

/// `rest` is the block's number and what is meant of it.
fn in_block(blocks: &str, rest: &str) -> Source {
    let (number, part) = rest.split_once('.').unwrap_or((rest, ""));
    for (index, joined) in JOINED.iter().enumerate() {
        if let Some(rest) = part.strip_prefix(joined) {
            let name = format!("{blocks}{number}.attn.in_proj_{rest}");
            return Source::rows(name, index, JOINED.len());
        }
    }
    Source::whole(format!("{blocks}{number}.{}", renamed(part, &IN_BLOCK)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_open_clip() {
        for (ours, theirs) in [
            (
                "vision_model.encoder.layers.11.self_attn.k_proj.bias",
                Source::rows("visual.transformer.resblocks.11.attn.in_proj_bias", 1, 3),
            ),
            (
                "text_model.encoder.layers.0.mlp.fc2.weight",
                Source::whole("transformer.resblocks.0.mlp.c_proj.weight"),
            ),
            (
                "vision_model.pre_layrnorm.weight",
                Source::whole("visual.ln_pre.weight"),
            ),
            (
                "text_projection.weight",
                Source::transposed("text_projection"),
            ),
        ] {
            assert_eq!(source(ours), theirs);
        }
    }
}
