//! `generate`, `adherence`, `train-diffusion` and `train-checker`.

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::builder::{PathBufValueParser, PossibleValuesParser};
use clap::{Args, ValueEnum};
use unprompt::data::source::Source;
use unprompt::diffusion::sampler::SamplerKind;
use unprompt::diffusion::text_to_image::GenerateOptions;
use unprompt::train::diffusion::CodecKind;

use super::run::RunArgs;
use super::{at_least_one, flag, positive};

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// What to show; several prompts make several images.
    #[arg(required = true, value_name = "PROMPT")]
    pub(crate) prompts: Vec<String>,

    /// The image, as PNG. Several images are numbered before the extension.
    #[arg(long, value_name = "FILE.png", value_parser = png(), env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,

    /// The diffusion model: a built-in one or a folder.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "pocket",
        env = "UNPROMPT_MODEL"
    )]
    pub(crate) model: String,

    /// What not to show.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        env = "UNPROMPT_NEGATIVE_PROMPT"
    )]
    pub(crate) negative_prompt: String,

    /// Seed of the first noise; of several images of a prompt, that of the first.
    #[arg(long, value_name = "N", default_value_t = 1, env = "UNPROMPT_SEED")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,

    /// Images of each prompt.
    #[arg(short = 'n', value_name = "N", default_value_t = 1, env = "UNPROMPT_IMAGES",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) images: u32,
}

/// How images are made.
#[derive(Debug, Args)]
pub(crate) struct SamplingArgs {
    /// Steps from noise to image [default: 20, of Stable Diffusion 50].
    #[arg(long, value_name = "N", env = "UNPROMPT_STEPS",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) steps: Option<u32>,

    /// How strictly to follow the prompt; 1 leaves guidance out [default: 3, of Stable Diffusion 7.5].
    #[arg(
        long,
        value_name = "X",
        env = "UNPROMPT_GUIDANCE",
        value_parser = guidance
    )]
    pub(crate) guidance: Option<f64>,

    /// The way through the steps [default: ddim, of Stable Diffusion that which its folder names].
    #[arg(
        long,
        env = "UNPROMPT_SAMPLER",
        value_parser = PossibleValuesParser::new(SamplerKind::ALL.map(SamplerKind::name))
            .try_map(|name| name.parse::<SamplerKind>())
    )]
    pub(crate) sampler: Option<SamplerKind>,
}

impl SamplingArgs {
    /// The same for the library; `usual` is how the model makes images where nobody says how.
    pub(crate) fn options(&self, usual: GenerateOptions) -> GenerateOptions {
        GenerateOptions {
            sampler: self.sampler.unwrap_or(usual.sampler),
            steps: self.steps.map_or(usual.steps, |steps| steps as usize),
            guidance: self.guidance.unwrap_or(usual.guidance),
        }
    }
}

/// Arguments of `adherence`.
#[derive(Debug, Args)]
pub(crate) struct AdherenceArgs {
    /// The diffusion model: a built-in one or a folder.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "pocket",
        env = "UNPROMPT_MODEL"
    )]
    pub(crate) model: String,

    /// The attribute checker: a built-in one or a folder.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "checker",
        env = "UNPROMPT_CHECKER"
    )]
    pub(crate) checker: String,

    /// The predictor that judges beside it: a built-in one or a folder.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "vit",
        env = "UNPROMPT_PREDICTOR"
    )]
    pub(crate) predictor: String,

    /// Test prompts, one image each.
    #[arg(long, value_name = "N", default_value_t = 500, env = "UNPROMPT_IMAGES",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) images: u32,

    /// Seed of the prompts and of their images.
    #[arg(long, value_name = "N", default_value_t = 7, env = "UNPROMPT_SEED")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,

    /// Draws the first 64 images with their prompts, as PNG.
    #[arg(long, value_name = "FILE.png", value_parser = png(), env = "UNPROMPT_SHEET")]
    pub(crate) sheet: Option<PathBuf>,

    /// One JSON object instead of a table.
    #[arg(long, env = "UNPROMPT_JSON", value_parser = flag())]
    pub(crate) json: bool,
}

/// Arguments of `train-checker`.
#[derive(Debug, Args)]
pub(crate) struct TrainCheckerArgs {
    /// Images with their meanings: pocket, or pocket:N for N prompts of the pocket world.
    #[arg(long, value_name = "SOURCE", env = "UNPROMPT_DATA")]
    pub(crate) data: Source,

    /// The checker's folder.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,

    /// Passes over the training prompts.
    #[arg(long, value_name = "N", default_value_t = 5, env = "UNPROMPT_EPOCHS",
        value_parser = at_least_one())]
    pub(crate) epochs: usize,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Arguments of `train-diffusion`.
#[derive(Debug, Args)]
pub(crate) struct TrainDiffusionArgs {
    /// Image-prompt pairs: pocket, or pocket:N for N prompts of the pocket world.
    #[arg(long, value_name = "SOURCE", env = "UNPROMPT_DATA")]
    pub(crate) data: Source,

    /// The model's folder, laid out as diffusers does it.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,

    /// What makes latents of pixels.
    #[arg(long, default_value = "autoencoder", env = "UNPROMPT_CODEC")]
    pub(crate) codec: Codec,

    /// Passes over the training prompts for the autoencoder.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        env = "UNPROMPT_AUTOENCODER_EPOCHS"
    )]
    pub(crate) autoencoder_epochs: usize,

    /// Passes over the training prompts for the U-Net.
    #[arg(long, value_name = "N", default_value_t = 10, env = "UNPROMPT_EPOCHS",
        value_parser = at_least_one())]
    pub(crate) epochs: usize,

    /// Images of each training prompt; the U-Net sees one after the other.
    #[arg(long, value_name = "N", default_value_t = 2, env = "UNPROMPT_VARIANTS",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) variants: u32,

    /// Learning rate of the U-Net after warm-up.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1e-3,
        value_parser = positive,
        env = "UNPROMPT_LEARNING_RATE"
    )]
    pub(crate) learning_rate: f64,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What makes latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    /// A variational autoencoder, trained first.
    Autoencoder,
    /// Squares of pixels as channels: nothing is learnt, nothing compressed.
    SpaceToDepth,
}

impl From<Codec> for CodecKind {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::Autoencoder => Self::Autoencoder,
            Codec::SpaceToDepth => Self::SpaceToDepth,
        }
    }
}

fn guidance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(guidance) if (0.0..=100.0).contains(&guidance) => Ok(guidance),
        _ => Err("a number from 0 to 100 is wanted".to_owned()),
    }
}

/// A file to write an image to.
fn png() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => Ok(path),
        _ => Err("images are written as PNG, name a .png"),
    })
}
