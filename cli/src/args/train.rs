//! `train`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use unprompt::data::source::Source;
use unprompt::image::encoders::{ENCODERS, EncoderConfig};

use super::flag;

/// Arguments of `train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Image-prompt pairs: pocket, or pocket:N for N prompts of the pocket world; the folder of
    /// `unprompt dataset`, or of a DiffusionDB with its images in part-*.zip.
    #[arg(long, value_name = "SOURCE", env = "UNPROMPT_DATA")]
    pub(crate) data: Source,

    /// The image encoder.
    #[arg(long, env = "UNPROMPT_ENCODER", value_parser = encoder())]
    pub(crate) encoder: EncoderConfig,

    /// The model's folder: weights, checkpoint, log and plot.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,

    /// Passes over the training prompts.
    #[arg(long, value_name = "N", default_value_t = 7, env = "UNPROMPT_EPOCHS")]
    pub(crate) epochs: usize,

    /// Images a step.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        env = "UNPROMPT_BATCH_SIZE"
    )]
    pub(crate) batch_size: usize,

    /// Learning rate after warm-up.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1e-3,
        env = "UNPROMPT_LEARNING_RATE"
    )]
    pub(crate) learning_rate: f64,

    /// Seed of the data, the network and the order.
    #[arg(long, value_name = "N", default_value_t = 1, env = "UNPROMPT_SEED")]
    pub(crate) seed: u64,

    /// Leave the vocabulary head out of the loss.
    #[arg(long, env = "UNPROMPT_NO_VOCABULARY", value_parser = flag())]
    pub(crate) no_vocabulary: bool,

    /// Go on from the folder's checkpoint.
    #[arg(long, env = "UNPROMPT_RESUME", value_parser = flag())]
    pub(crate) resume: bool,
}

/// The name of an encoder, as its pocket size.
fn encoder() -> impl TypedValueParser<Value = EncoderConfig> {
    let names = ENCODERS
        .iter()
        .map(|(name, about)| PossibleValue::new(*name).help(*about));
    PossibleValuesParser::new(names)
        .try_map(|name| EncoderConfig::pocket(&name).ok_or("has no pocket size"))
}
