//! Stable Diffusion 1 and 2 as diffusers publishes them: a folder with a folder for each part.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::prompts::{ClipPrompts, Prompts};
use super::sampler::SamplerKind;
use super::schedule::{NoiseSchedule, ScheduleConfig};
use super::unet::UNet;
use super::unet::config::{self, UNetConfig};
use super::vae::autoencoder::{self, AutoencoderConfig, AutoencoderKl};
use crate::error::{Error, Result};
use crate::files::{json, json_if_any, settings};
use crate::text::clip::{self, ClipTextConfig, ClipTextTower};
use crate::weights::checkpoint::Checkpoint;
use crate::weights::layout::Layout;

/// The name of the weights of U-Net and autoencoder.
const STEM: &str = "diffusion_pytorch_model";

/// The name of the weights of the text encoder.
const TEXT_STEM: &str = "model";

/// A U-Net of which the way down alone is wanted.
const WAY_DOWN: Layout = Layout {
    others: &["up_blocks.", "conv_norm_out.", "conv_out."],
    ..Layout::SAME
};

/// Where the text encoder lies.
const TEXT_ENCODER_FOLDER: &str = "text_encoder";

/// Where its tokenizer lies.
const TOKENIZER_FOLDER: &str = "tokenizer";

/// The pipeline that is known.
const PIPELINE: &str = "StableDiffusionPipeline";

/// The folders of a model that are read.
pub(super) const PARTS: [&str; 5] = [
    "scheduler",
    TEXT_ENCODER_FOLDER,
    TOKENIZER_FOLDER,
    "unet",
    "vae",
];

/// The parts of a model.
pub(super) struct Parts {
    pub(super) codec: AutoencoderKl,
    pub(super) unet: UNet,
    pub(super) unet_config: UNetConfig,
    pub(super) schedule: NoiseSchedule,
    /// The way through the steps that the folder names.
    pub(super) sampler: SamplerKind,
    pub(super) prompts: Prompts,
    /// All files that decide what it makes.
    pub(super) files: Vec<PathBuf>,
}

/// Settings of a noise schedule that are known in one value alone.
const SCHEDULE_FIXED: &[(&str, &str)] = &[
    ("trained_betas", "null"),
    ("rescale_betas_zero_snr", "false"),
    ("thresholding", "false"),
    ("clip_sample", "false"),
    ("use_karras_sigmas", "false"),
    ("use_exponential_sigmas", "false"),
    ("use_beta_sigmas", "false"),
    ("use_flow_sigmas", "false"),
    ("use_lu_lambdas", "false"),
    ("algorithm_type", "\"dpmsolver++\""),
    ("solver_order", "2"),
    ("solver_type", "\"midpoint\""),
    ("final_sigmas_type", "\"zero\""),
    ("euler_at_final", "false"),
    ("timestep_type", "\"discrete\""),
    ("interpolation_type", "\"linear\""),
];

/// Schedulers that lead other ways to where any sampler leads: their schedules of noise are the same.
const SAME_FLOW: [&str; 10] = [
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "IPNDMScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "UniPCMultistepScheduler",
];

/// The files beside the weights.
const SETTINGS: [&str; 9] = [
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "vae/config.json",
];

/// Whether a folder's `model_index.json` is of diffusers and not of ours.
pub(super) fn is_published(index: &Value) -> bool {
    index.get("_class_name").is_some()
}

/// Reads a folder.
///
/// # Errors
/// [`Error::Unsupported`] for other pipelines and settings than are known, else what is wrong with a file.
pub(super) fn parts(folder: &Path, index: &Value, device: &Device) -> Result<Parts> {
    check_pipeline(folder, index)?;
    let codec_config = codec_config(folder)?;
    let codec = codec(folder, device, |vb| AutoencoderKl::new(&codec_config, &vb))?;
    let unet_config = unet_config(folder)?;
    let unet = unet(folder, Layout::SAME, device, |vb| {
        UNet::new(&unet_config, &vb)
    })?;
    let prompts = prompts(folder, unet_config.cross_attention_dim, device)?;
    let (schedule, sampler) = schedule(&folder.join("scheduler/scheduler_config.json"))?;
    Ok(Parts {
        codec,
        unet,
        unet_config,
        schedule,
        sampler,
        prompts: Prompts::Clip(Box::new(prompts)),
        files: files(folder)?,
    })
}

/// Refuses other pipelines than the one that is known.
///
/// # Errors
/// [`Error::Unsupported`] for one.
pub(super) fn check_pipeline(folder: &Path, index: &Value) -> Result<()> {
    let class = index["_class_name"].as_str().unwrap_or_default();
    if class == PIPELINE {
        return Ok(());
    }
    Err(Error::Unsupported {
        path: folder.join("model_index.json"),
        why: format!("a {class} is not known, only a {PIPELINE} is"),
    })
}

/// All files that decide what a model makes.
///
/// # Errors
/// If the weights of a part are not there.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = vec![];
    for (part, stem) in [
        ("vae", STEM),
        ("unet", STEM),
        (TEXT_ENCODER_FOLDER, TEXT_STEM),
    ] {
        all.extend(Checkpoint::open(&folder.join(part), stem)?.all_files());
    }
    all.extend(settings_files(folder));
    Ok(all)
}

/// Those of them that encode prompts.
///
/// # Errors
/// If the weights of the text encoder are not there.
pub(crate) fn text_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let own = folder.join(TEXT_ENCODER_FOLDER);
    let mut all = Checkpoint::open(&own, TEXT_STEM)?.all_files();
    let folders = [own, folder.join(TOKENIZER_FOLDER)];
    let is_own = |path: &PathBuf| folders.iter().any(|it| path.starts_with(it));
    all.extend(settings_files(folder).filter(is_own));
    Ok(all)
}

/// The files beside the weights that are there.
fn settings_files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = SETTINGS.map(|file| folder.join(file));
    files.into_iter().filter(|it| it.is_file())
}

/// The sizes of the codec.
///
/// # Errors
/// [`Error::Unsupported`] if they are not known here, else what is wrong with the file.
pub(super) fn codec_config(folder: &Path) -> Result<AutoencoderConfig> {
    settings(&folder.join("vae/config.json"), autoencoder::FIXED)
}

/// The sizes of the U-Net.
///
/// # Errors
/// As for [`codec_config`].
pub(super) fn unet_config(folder: &Path) -> Result<UNetConfig> {
    settings(&folder.join("unet/config.json"), config::FIXED)
}

/// What `build` makes of all of the codec's tensors.
fn codec<T>(
    folder: &Path,
    device: &Device,
    build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<T>,
) -> Result<T> {
    let checkpoint = Checkpoint::open(&folder.join("vae"), STEM)?;
    let old = checkpoint.has("encoder.mid_block.attentions.0.query.weight");
    let layout = if old {
        autoencoder::OLD_ATTENTION
    } else {
        Layout::SAME
    };
    checkpoint.build(layout, device, build)
}

/// What `build` makes of the U-Net's tensors, all of which must be used but for those that the layout leaves out.
fn unet<T>(
    folder: &Path,
    layout: Layout,
    device: &Device,
    build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<T>,
) -> Result<T> {
    Checkpoint::open(&folder.join("unet"), STEM)?.build(layout, device, build)
}

/// All tensors of the U-Net.
///
/// # Errors
/// If a file is missing or damaged.
pub(super) fn unet_tensors(folder: &Path, device: &Device) -> Result<HashMap<String, Tensor>> {
    Checkpoint::open(&folder.join("unet"), STEM)?.tensors(device)
}

/// The tensors of these names of the U-Net, which must be all of its way down.
///
/// # Errors
/// If one is missing, or one of the way down is not asked for.
pub(super) fn way_down(
    folder: &Path,
    names: &[String],
    device: &Device,
) -> Result<HashMap<String, Tensor>> {
    unet(folder, WAY_DOWN, device, |vb| named(&vb, names))
}

/// The tensors of these names of the codec, which must be all that it has.
///
/// # Errors
/// As for [`way_down`].
pub(super) fn codec_tensors(
    folder: &Path,
    names: &[String],
    device: &Device,
) -> Result<HashMap<String, Tensor>> {
    codec(folder, device, |vb| named(&vb, names))
}

fn named(vb: &VarBuilder<'_>, names: &[String]) -> candle_core::Result<HashMap<String, Tensor>> {
    let tensor = |name: &String| Ok((name.clone(), vb.get_unchecked(name)?));
    names.iter().map(tensor).collect()
}

/// What the U-Net is told of no text, then of each word alone: (words + 1, dim).
///
/// # Errors
/// As for [`parts`].
pub(super) fn word_states(folder: &Path, words: &[String], device: &Device) -> Result<Tensor> {
    let dim = unet_config(folder)?.cross_attention_dim;
    prompts(folder, dim, device)?.words(words, device)
}

/// `special_tokens_map.json` and `tokenizer_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecialTokens {
    pad_token: Option<Token>,
    added_tokens_decoder: Option<IgnoredAny>,
}

/// A token, by itself or with its settings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Plain(String),
    Settings { content: String },
}

/// What encodes prompts, as states of `dim` numbers.
///
/// # Errors
/// [`Error::Unsupported`] if its states are of another length, else what is wrong with a file.
pub(crate) fn prompts(folder: &Path, dim: usize, device: &Device) -> Result<ClipPrompts> {
    let own = folder.join(TEXT_ENCODER_FOLDER);
    let path = own.join("config.json");
    let config: ClipTextConfig = settings(&path, &[])?;
    if config.hidden_size != dim {
        let why = format!(
            "states of {} numbers for a U-Net with a cross_attention_dim of {dim}",
            config.hidden_size
        );
        return Err(Error::Unsupported { path, why });
    }
    let checkpoint = Checkpoint::open(&own, TEXT_STEM)?;
    let tower = checkpoint.build(clip::layout(&checkpoint), device, |vb| {
        ClipTextTower::new(&config, &vb)
    })?;
    let tokenizer = folder.join(TOKENIZER_FOLDER);
    let tokens = |file: &str| -> Result<SpecialTokens> {
        Ok(json_if_any(&tokenizer.join(file))?.unwrap_or_default())
    };
    let (settings, map) = (
        tokens("tokenizer_config.json")?,
        tokens("special_tokens_map.json")?,
    );
    // Where the settings list the tokens themselves, they are the newer file.
    let pad = match settings.added_tokens_decoder {
        Some(_) => settings.pad_token.or(map.pad_token),
        None => map.pad_token.or(settings.pad_token),
    };
    let pad = pad.map(|token| match token {
        Token::Plain(text) | Token::Settings { content: text } => text,
    });
    let length = config.max_position_embeddings;
    ClipPrompts::new(tower, &tokenizer, pad.as_deref(), length)
}

/// The class of a scheduler.
#[derive(Deserialize)]
struct Scheduler {
    #[serde(rename = "_class_name")]
    class: String,
    skip_prk_steps: Option<bool>,
    clip_sample: Option<bool>,
}

fn schedule(path: &Path) -> Result<(NoiseSchedule, SamplerKind)> {
    let config: ScheduleConfig = settings(path, SCHEDULE_FIXED)?;
    let schedule = NoiseSchedule::new(&config).map_err(|source| Error::Weights {
        path: path.to_owned(),
        source,
    })?;
    let Scheduler {
        class,
        skip_prk_steps,
        clip_sample,
    } = json(path)?;
    // What a class does where its file is silent is not known here.
    let silent = match (class.as_str(), skip_prk_steps, clip_sample) {
        ("PNDMScheduler", None | Some(false), _) => Some("skip_prk_steps"),
        ("DDIMScheduler", _, None) => Some("clip_sample"),
        _ => None,
    };
    if let Some(key) = silent {
        return Err(Error::Unsupported {
            path: path.to_owned(),
            why: format!("a {class} without {key} in the way of Stable Diffusion is not known"),
        });
    }
    let sampler = match class.as_str() {
        "DDIMScheduler" => SamplerKind::Ddim,
        "PNDMScheduler" => SamplerKind::Pndm,
        "EulerDiscreteScheduler" => SamplerKind::Euler,
        "LMSDiscreteScheduler" => SamplerKind::LinearMultistep,
        "DPMSolverMultistepScheduler" => SamplerKind::DpmSolver,
        other if SAME_FLOW.contains(&other) => {
            tracing::info!("k_dpmpp_2m stands in for {other}, which is not known");
            SamplerKind::DpmSolver
        }
        other => {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                why: format!("the scheduler {other} is not known"),
            });
        }
    };
    Ok((schedule, sampler))
}
