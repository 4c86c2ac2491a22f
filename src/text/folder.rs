//! Sentence encoders as they are published: a folder of sentence-transformers, with its modules and their
//! settings, or of CLIP, in the layouts of Hugging Face and of open_clip.

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::Deserialize;

use super::bert::{self, BertConfig};
use super::clip::tokenizer::ClipTokenizer;
use super::clip::{self, ClipTextConfig, ClipTextTower};
use super::network::Network;
use super::pool::Pooling;
use super::sentence::{EncoderIdentity, Parts};
use super::tokenize::Tokenizer;
use crate::error::{Error, Result};
use crate::files::{json, json_if_any, settings};
use crate::matmul::Precision;
use crate::models;
use crate::nn::dense::{After, Dense};
use crate::weights::checkpoint::Checkpoint;
use crate::weights::layout::Layout;
use crate::weights::open_clip::{self, OpenClipConfig};

/// What the encoder in `folder` is put together from.
///
/// # Errors
/// If a file cannot be read or is not understood, or asks for what is not known here.
pub(super) fn parts(folder: &Path, device: &Device, precision: Precision) -> Result<Parts> {
    if open_clip::is_in(folder) {
        return open_clip_tower(folder, device);
    }
    if let Some(modules) = json_if_any::<Vec<Module>>(&folder.join("modules.json"))? {
        return sentence_transformer(folder, &modules, device, precision);
    }
    let path = folder.join("config.json");
    let config: HuggingFace = json(&path)?;
    match config.model_type.as_str() {
        "clip" | "clip_text_model" => clip_tower(folder, device),
        other => Err(Error::Unsupported {
            path,
            why: format!(
                "a {other} without modules.json is no sentence encoder: give the folder of a \
                 sentence-transformers model or of a CLIP"
            ),
        }),
    }
}

/// What every `config.json` of Hugging Face says.
#[derive(Deserialize)]
struct HuggingFace {
    #[serde(default)]
    model_type: String,
}

/// A line of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TransformerSettings {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

/// `tokenizer_config.json`.
#[derive(Default, Deserialize)]
struct TokenizerSettings {
    /// A number beyond all where there is none.
    model_max_length: Option<f64>,
}

/// `config_sentence_transformers.json`: texts that stand before those to be embedded.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Prompts {
    prompts: std::collections::BTreeMap<String, Option<String>>,
    default_prompt_name: Option<String>,
}

/// `config.json` of a pooling module.
#[derive(Deserialize)]
#[serde(default)]
struct PoolingSettings {
    pooling_mode: Option<String>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
    include_prompt: bool,
}

impl Default for PoolingSettings {
    fn default() -> Self {
        Self {
            pooling_mode: None,
            pooling_mode_cls_token: false,
            pooling_mode_mean_tokens: false,
            pooling_mode_max_tokens: false,
            pooling_mode_mean_sqrt_len_tokens: false,
            pooling_mode_weightedmean_tokens: false,
            pooling_mode_lasttoken: false,
            include_prompt: true,
        }
    }
}

impl PoolingSettings {
    /// The names of all modes that are switched on.
    fn modes(&self) -> Vec<&str> {
        let flags = [
            (self.pooling_mode_cls_token, "cls"),
            (self.pooling_mode_mean_tokens, "mean"),
            (self.pooling_mode_max_tokens, "max"),
            (
                self.pooling_mode_mean_sqrt_len_tokens,
                "mean_sqrt_len_tokens",
            ),
            (self.pooling_mode_weightedmean_tokens, "weightedmean"),
            (self.pooling_mode_lasttoken, "lasttoken"),
        ];
        let flagged = flags
            .into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| name);
        // Newer files name the mode, and that counts.
        match self.pooling_mode.as_deref() {
            Some(mode) => vec![mode],
            None => flagged.collect(),
        }
    }

    /// `is_last` says whether only scaling to unit length follows.
    fn pooling(&self, path: &Path, is_last: bool) -> Result<Pooling> {
        match self.modes()[..] {
            ["mean"] => Ok(Pooling::Mean),
            // What a sum is divided by does not matter then.
            ["mean_sqrt_len_tokens"] if is_last => Ok(Pooling::Mean),
            ["cls"] => Ok(Pooling::First),
            ["max"] => Ok(Pooling::Largest),
            ["lasttoken"] => Ok(Pooling::Last),
            ref others => Err(Error::Unsupported {
                path: path.to_owned(),
                why: format!("pooling by {} is not known", others.join(" and ")),
            }),
        }
    }
}

/// `config.json` of a dense module.
#[derive(Deserialize)]
struct DenseSettings {
    in_features: usize,
    out_features: usize,
    bias: bool,
    activation_function: String,
}

fn sentence_transformer(
    folder: &Path,
    modules: &[Module],
    device: &Device,
    precision: Precision,
) -> Result<Parts> {
    let path = folder.join("modules.json");
    let unsupported = |why: String| Error::Unsupported {
        path: path.clone(),
        why,
    };
    // Versions differ in where the classes live.
    let kind = |module: &Module| {
        module
            .kind
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let kinds: Vec<String> = modules.iter().map(kind).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    // Rows are scaled to unit length in any case.
    let (denses, rest) = match &kinds[..] {
        ["Transformer", "Pooling", rest @ .., "Normalize"] => {
            (rest, &modules[2..modules.len() - 1])
        }
        ["Transformer", "Pooling", rest @ ..] => (rest, &modules[2..]),
        _ => (&["?"][..], modules),
    };
    if denses.iter().any(|kind| *kind != "Dense") {
        let why = format!(
            "it consists of {}; known are Transformer, Pooling, any number of Dense and Normalize, in this order",
            kinds.join(", ")
        );
        return Err(unsupported(why));
    }
    let below = |module: &Module| {
        if module.path.contains("..") || Path::new(&module.path).is_absolute() {
            return Err(unsupported(format!(
                "{:?} is no folder below it",
                module.path
            )));
        }
        Ok(folder.join(&module.path))
    };
    let own = below(&modules[0])?;
    let (config, network, checkpoint) = transformer(&own, device, precision)?;
    let mut files = checkpoint.files().to_vec();
    let pooling_path = below(&modules[1])?.join("config.json");
    let settings: PoolingSettings = json(&pooling_path)?;
    if !settings.include_prompt {
        return Err(Error::Unsupported {
            path: pooling_path,
            why: "pooling without the prompt's tokens is not known".into(),
        });
    }
    let pooling = settings.pooling(&pooling_path, denses.is_empty())?;
    files.push(pooling_path);
    let (mut layers, mut dim) = (vec![], config.hidden_size);
    for module in rest {
        let own = below(module)?;
        let (layer, outputs, checkpoint) = dense(&own, device)?;
        files.extend_from_slice(checkpoint.files());
        files.push(own.join("config.json"));
        dim = outputs;
        layers.push(layer);
    }
    let settings: TransformerSettings =
        json_if_any(&own.join("sentence_bert_config.json"))?.unwrap_or_default();
    let tokens: TokenizerSettings =
        json_if_any(&own.join("tokenizer_config.json"))?.unwrap_or_default();
    // A conversion to a whole number stops at the largest.
    let usual = tokens.model_max_length.map(|most| most as usize);
    let max_tokens = settings.max_seq_length.or(usual);
    let max_tokens = max_tokens.unwrap_or(usize::MAX).min(config.max_tokens());
    Ok(Parts {
        tokenizer: Tokenizer::open(&own.join("tokenizer.json"), max_tokens)?,
        prompt: default_prompt(folder)?,
        lower_case: settings.do_lower_case,
        network,
        pooling,
        layers,
        identity: identity(folder, &files, dim)?,
    })
}

/// A BERT or MPNet.
fn transformer(
    folder: &Path,
    device: &Device,
    precision: Precision,
) -> Result<(BertConfig, Network, Checkpoint)> {
    let config: BertConfig = settings(&folder.join("config.json"), bert::FIXED)?;
    let checkpoint = Checkpoint::open(folder, "model")?;
    let prefix = ["bert", "mpnet"]
        .into_iter()
        .find(|prefix| checkpoint.has_below(&format!("{prefix}.")));
    let network = checkpoint.build(config.layout(), device, |vb| {
        let vb = prefix.map_or(vb.clone(), |prefix| vb.pp(prefix));
        Network::bert(&config, vb, precision)
    })?;
    Ok((config, network, checkpoint))
}

/// A linear layer behind pooling, and the length of its output.
fn dense(folder: &Path, device: &Device) -> Result<(Dense, usize, Checkpoint)> {
    let path = folder.join("config.json");
    let settings: DenseSettings = json(&path)?;
    let after = match settings.activation_function.rsplit('.').next() {
        Some("Identity") => After::Identity,
        Some("Tanh") => After::Tanh,
        _ => {
            let why = format!("{} is not known", settings.activation_function);
            return Err(Error::Unsupported { path, why });
        }
    };
    let (inputs, outputs) = (settings.in_features, settings.out_features);
    let checkpoint = Checkpoint::open(folder, "model")?;
    let layer = checkpoint.build(Layout::SAME, device, |vb| {
        Dense::load(inputs, outputs, settings.bias, after, &vb)
    })?;
    Ok((layer, outputs, checkpoint))
}

/// The text that stands before every other.
fn default_prompt(folder: &Path) -> Result<String> {
    let path = folder.join("config_sentence_transformers.json");
    let mut prompts: Prompts = json_if_any(&path)?.unwrap_or_default();
    let Some(name) = prompts.default_prompt_name else {
        return Ok(String::new());
    };
    let prompt = prompts.prompts.remove(&name).flatten();
    prompt.ok_or_else(|| Error::Unsupported {
        path,
        why: format!("there is no prompt {name:?}"),
    })
}

fn clip_tower(folder: &Path, device: &Device) -> Result<Parts> {
    let path = folder.join("config.json");
    let config =
        ClipTextConfig::from_hugging_face(&json(&path)?).map_err(|source| Error::ModelConfig {
            path: path.clone(),
            source,
        })?;
    let checkpoint = Checkpoint::open(folder, "model")?;
    let layout = clip::layout(&checkpoint);
    clip_parts(folder, &config, &checkpoint, layout, device)
}

fn open_clip_tower(folder: &Path, device: &Device) -> Result<Parts> {
    let config = OpenClipConfig::open(folder)?;
    let checkpoint = Checkpoint::open(folder, open_clip::STEM)?;
    let layout = if checkpoint.has_below("text.") {
        open_clip::TEXT_APART
    } else {
        open_clip::TEXT
    };
    let config = ClipTextConfig::from_open_clip(&config);
    clip_parts(folder, &config, &checkpoint, layout, device)
}

fn clip_parts(
    folder: &Path,
    config: &ClipTextConfig,
    checkpoint: &Checkpoint,
    layout: Layout,
    device: &Device,
) -> Result<Parts> {
    let (tower, projection) = checkpoint.build(layout, device, |vb| {
        Ok((
            ClipTextTower::new(config, &vb)?,
            clip::projection(config, &vb)?,
        ))
    })?;
    let tokenizer = ClipTokenizer::open(folder, config.max_position_embeddings)?;
    Ok(Parts {
        prompt: String::new(),
        lower_case: false,
        network: Network::Clip(Box::new(tower)),
        pooling: Pooling::At(tokenizer.end()),
        layers: vec![Dense::new(projection, After::Identity)],
        tokenizer: tokenizer.into_inner(),
        identity: identity(folder, checkpoint.files(), config.projection_dim)?,
    })
}

/// Files beside the weights that decide what comes out.
const SETTINGS: [&str; 9] = [
    "config.json",
    open_clip::CONFIG,
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
];

/// The folder's name, and what tells its weights, and how they are used, from others. `files` are those that make it
/// up besides its settings.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read.
pub(crate) fn identity(folder: &Path, files: &[PathBuf], dim: usize) -> Result<EncoderIdentity> {
    // `.` and `..` have no name of their own.
    let whole = std::fs::canonicalize(folder).map_err(Error::io("read", folder))?;
    let settings = SETTINGS.map(|file| folder.join(file));
    let settings = settings.into_iter().filter(|path| path.is_file());
    let files: Vec<PathBuf> = files.iter().cloned().chain(settings).collect();
    Ok(EncoderIdentity {
        name: models::name_of(&whole),
        sha256: models::fingerprint(&files)?,
        dim,
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;
    use crate::parity::{Fixture, device};
    use crate::text::{SentenceEncoder, pool};

    #[test]
    fn embeddings_are_the_references() {
        for name in ["bert-sentence", "bert-sentence-cls", "mpnet-sentence"] {
            let fixture = Fixture::open(name);
            let encoder =
                SentenceEncoder::open(fixture.folder(), &device(), Precision::Full).unwrap();
            assert_eq!(encoder.identity().name, name);
            let texts: Vec<String> = fixture.json("texts.json");
            let found = encoder.embed(&texts).unwrap();
            let shape = (texts.len(), found.dim());
            let found = Tensor::from_vec(found.into_vec(), shape, &device()).unwrap();
            fixture.compare_with("embeddings", &found, |it| pool::unit_rows(it).unwrap());
        }
    }

    #[test]
    fn the_way_of_pooling_is_read_from_either_form() {
        let pooling = |json: &str, is_last| {
            let settings: PoolingSettings = serde_json::from_str(json).unwrap();
            settings.pooling(Path::new("config.json"), is_last).ok()
        };
        let flags = |name: &str| format!(r#"{{"pooling_mode_{name}": true}}"#);
        assert_eq!(pooling(&flags("max_tokens"), true), Some(Pooling::Largest));
        assert_eq!(pooling(&flags("lasttoken"), true), Some(Pooling::Last));
        let root = flags("mean_sqrt_len_tokens");
        assert_eq!(
            (pooling(&root, true), pooling(&root, false)),
            (Some(Pooling::Mean), None)
        );
        let both = r#"{"pooling_mode": "cls", "pooling_mode_mean_tokens": true}"#;
        assert_eq!(pooling(both, true), Some(Pooling::First));
        let two = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#;
        assert_eq!(pooling(two, true), None);
        assert_eq!(pooling("{}", true), None);
    }

    #[test]
    fn texts_of_clip_are_the_references() {
        for (name, layout) in [
            ("clip", clip::HUGGING_FACE),
            ("clip-sharded", clip::HUGGING_FACE),
            ("open-clip", open_clip::TEXT),
            ("open-clip-quick", open_clip::TEXT_APART),
        ] {
            let fixture = Fixture::open(name);
            let (config, stem) = if name.starts_with("open") {
                let config = OpenClipConfig::open(fixture.folder()).unwrap();
                (ClipTextConfig::from_open_clip(&config), open_clip::STEM)
            } else {
                let config = fixture.json("config.json");
                (ClipTextConfig::from_hugging_face(&config).unwrap(), "model")
            };
            let embeds = fixture.build(stem, layout, |vb| {
                let ids = fixture.ids("input_ids");
                let states = ClipTextTower::new(&config, &vb)?.states(&ids)?;
                let texts: Vec<Vec<u32>> = ids.to_vec2()?;
                let end = texts.iter().flatten().copied().max().unwrap_or_default();
                let ends = texts.iter().enumerate();
                let ends =
                    ends.map(|(number, text)| Pooling::At(end).pool(&states.get(number)?, text));
                let ends = Tensor::stack(&ends.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
                candle_nn::Module::forward(&clip::projection(&config, &vb)?, &ends)
            });
            fixture.compare("text_embeds", &embeds);
        }
    }

    #[test]
    fn what_is_no_sentence_encoder_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            std::fs::write(folder.path().join(file), text).unwrap();
            let error = SentenceEncoder::open(folder.path(), &Device::Cpu, Precision::Full)
                .err()
                .unwrap();
            error.to_string()
        };
        assert!(put("config.json", r#"{"model_type": "vit"}"#).contains("no sentence encoder"));
        let unknown = r#"[{"path": "", "type": "sentence_transformers.models.LSTM"}]"#;
        assert!(put("modules.json", unknown).contains("LSTM"));
        let outside = r#"[{"path": "../x", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
        assert!(put("modules.json", outside).contains("no folder below"));
        let wrong = outside.replace("Pooling", "Dense");
        assert!(put("modules.json", &wrong).contains("in this order"));
        assert!(put("modules.json", "[]").contains("in this order"));
    }
}
