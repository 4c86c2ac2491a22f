//! `train`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use unprompt::data::source::Source;
use unprompt::image::encoders::{ENCODERS, EncoderConfig};

use super::run::RunArgs;
use super::{at_least_one, flag, positive};

/// Arguments of `train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Image-prompt pairs: pocket, or pocket:N for N prompts of the pocket world; the folder of
    /// `unprompt dataset`, or of a DiffusionDB with its images in part-*.zip.
    #[arg(long, value_name = "SOURCE", env = "UNPROMPT_DATA")]
    pub(crate) data: Source,

    /// The image encoder.
    #[arg(
        long,
        env = "UNPROMPT_ENCODER",
        value_parser = encoder(),
        required_unless_present_any = ["pretrained", "weights"]
    )]
    pub(crate) encoder: Option<EncoderConfig>,

    /// Go on from a trained model, a built-in one or a folder: its encoder and what predicts embeddings are
    /// taken, the vocabulary is that of the new prompts and begins anew.
    #[arg(
        long,
        value_name = "NAME|DIR",
        env = "UNPROMPT_PRETRAINED",
        conflicts_with_all = ["encoder", "diffusion", "captioner", "tower_epochs"]
    )]
    pub(crate) pretrained: Option<String>,

    /// Begin with an encoder as it is published: the folder of a ViT, a SwinV2 or a CLIP of Hugging Face, timm or
    /// open_clip, in safetensors, or its name among those that were pulled.
    #[arg(
        long,
        value_name = "DIR",
        env = "UNPROMPT_WEIGHTS",
        conflicts_with_all = ["pretrained", "diffusion", "captioner", "tower_epochs"]
    )]
    pub(crate) weights: Option<PathBuf>,

    /// The diffusion model that the white box (unet) begins with: a built-in one or a folder.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "pocket",
        env = "UNPROMPT_DIFFUSION"
    )]
    pub(crate) diffusion: String,

    /// What captions images for the white box (unet): a model with a vocabulary, a built-in one or a folder, whose likeliest
    /// words are the caption; or the folder of a BLIP, in safetensors, or its name among those that were pulled, which writes
    /// sentences for a Stable Diffusion.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "vit",
        env = "UNPROMPT_CAPTIONER"
    )]
    pub(crate) captioner: String,

    /// Passes over the training prompts that CLIP's tower (clip) is pretrained for.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        env = "UNPROMPT_TOWER_EPOCHS"
    )]
    pub(crate) tower_epochs: usize,

    /// The model's folder: weights, checkpoint, log and plot.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,

    /// Passes over the training prompts.
    #[arg(long, value_name = "N", default_value_t = 7, env = "UNPROMPT_EPOCHS",
        value_parser = at_least_one())]
    pub(crate) epochs: usize,

    /// Images a step; a tower (clip) is pretrained with 64 at least, of which 32 at a time are told from
    /// each other.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        env = "UNPROMPT_BATCH_SIZE",
        value_parser = at_least_one()
    )]
    pub(crate) batch_size: usize,

    /// Learning rate after warm-up.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1e-3,
        value_parser = positive,
        env = "UNPROMPT_LEARNING_RATE"
    )]
    pub(crate) learning_rate: f64,

    /// The folder where it is kept what frozen parts (CLIP's tower, the white box's codec and captioner) make of images,
    /// for later epochs and for other runs with the same parts and images; DIR/features of the model's folder if none
    /// is named.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_FEATURES")]
    pub(crate) features: Option<PathBuf>,

    /// The most that is kept there of training images, and of those of validation, in GiB; what is beyond it is made again in each epoch.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 16,
        env = "UNPROMPT_FEATURES_GIB"
    )]
    pub(crate) features_gib: u32,

    /// Leave the vocabulary head out of the loss.
    #[arg(long, env = "UNPROMPT_NO_VOCABULARY", value_parser = flag())]
    pub(crate) no_vocabulary: bool,

    /// From easy to hard: easiness is recorded in a plain run before (in DIR/plain), or taken from one.
    #[arg(long, env = "UNPROMPT_CURRICULUM", value_parser = flag())]
    pub(crate) curriculum: bool,

    /// The folder of a run whose recorded easiness the curriculum takes.
    #[arg(
        long,
        value_name = "DIR",
        env = "UNPROMPT_EASINESS",
        requires = "curriculum"
    )]
    pub(crate) easiness: Option<PathBuf>,

    /// Record how well each training image is predicted, for later curricula.
    #[arg(long, env = "UNPROMPT_RECORD_EASINESS", value_parser = flag())]
    pub(crate) record_easiness: bool,

    /// Stop after so many epochs without a better score on validation.
    #[arg(long, value_name = "N", env = "UNPROMPT_PATIENCE")]
    pub(crate) patience: Option<usize>,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// The name of an encoder, as its pocket size.
fn encoder() -> impl TypedValueParser<Value = EncoderConfig> {
    let names = ENCODERS
        .iter()
        .map(|(name, about)| PossibleValue::new(*name).help(*about));
    PossibleValuesParser::new(names)
        .try_map(|name| EncoderConfig::pocket(&name).ok_or("has no pocket size"))
}
