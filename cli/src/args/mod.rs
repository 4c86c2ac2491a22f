//! The command line: what can be typed, and what it means. One struct a command.

mod adapt;
mod dataset;
mod diffusion;
mod ensemble;
mod index;
mod models;
mod precision;
mod query;
mod run;
mod serve;
mod train;

use clap::builder::{FalseyValueParser, RangedU64ValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};
use unprompt::device::DeviceChoice;

pub(crate) use adapt::AdaptArgs;
pub(crate) use dataset::DatasetArgs;
pub(crate) use diffusion::{AdherenceArgs, GenerateArgs, TrainCheckerArgs, TrainDiffusionArgs};
pub(crate) use ensemble::{EnsembleArgs, GraftArgs};
pub(crate) use index::{AddArgs, BuildArgs, DeleteArgs, IndexCommand, SourceArgs};
pub(crate) use models::{EmbedArgs, ModelsCommand};
pub(crate) use precision::PrecisionArg;
pub(crate) use query::{
    CaptionArgs, DemoArgs, EvaluateArgs, FusionArg, HitArgs, ReadArgs, ReverseArgs, SearchArgs,
};
pub(crate) use serve::ServeArgs;
pub(crate) use train::TrainArgs;

/// What prompt made this image? An embedded search engine with prompt retrieval.
#[derive(Debug, Parser)]
#[command(
    name = "unprompt",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Say nothing but results and errors.
    #[arg(short, long, global = true, env = "UNPROMPT_QUIET", value_parser = flag())]
    pub(crate) quiet: bool,

    /// Explain what happens; twice for more. RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,

    /// Where models run: auto, cpu, cuda, cuda:N or metal.
    #[arg(
        long,
        global = true,
        default_value_t,
        env = "UNPROMPT_DEVICE",
        value_name = "DEVICE"
    )]
    pub(crate) device: DeviceChoice,

    /// What prompts are embedded with: all-MiniLM-L6-v2, or the folder of a sentence-transformers model or of a CLIP,
    /// or its name among the models that were pulled [default: what the index or the model was made with].
    #[arg(
        long,
        global = true,
        env = "UNPROMPT_SENTENCE_ENCODER",
        value_name = "NAME|DIR"
    )]
    pub(crate) sentence_encoder: Option<String>,

    /// How precise products of matrices are in training and in embedding prompts, on graphics processors in making images
    /// as well: full is single precision, mixed rounds their factors to bfloat16; auto is mixed where the processor has
    /// instructions for it, without which it is slow. A training run is gone on with as it began.
    #[arg(
        long,
        global = true,
        default_value = "auto",
        env = "UNPROMPT_PRECISION",
        value_parser = PrecisionArg::parser()
    )]
    pub(crate) precision: PrecisionArg,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole tool on the embedded default: index, reverse, figures, a contact sheet.
    Demo(DemoArgs),
    /// Make, change, inspect and check indexes.
    #[command(subcommand)]
    Index(IndexCommand),
    /// Prompts and their images that match a text.
    Search(SearchArgs),
    /// Image in, prompt out.
    Reverse(ReverseArgs),
    /// The API and the web page over HTTP, for one index.
    Serve(Box<ServeArgs>),
    /// The prompt that an image file itself carries, as JSON Lines.
    Read(ReadArgs),
    /// What an image shows, in words of a captioning model, as JSON Lines.
    Caption(CaptionArgs),
    /// Sentence embeddings of texts, as JSON Lines.
    Embed(EmbedArgs),
    /// Text to image, with the diffusion model.
    Generate(GenerateArgs),
    /// Make a data set: images of a diffusion model with their prompts, as DiffusionDB has them.
    Dataset(DatasetArgs),
    /// Train an image encoder with its heads.
    Train(Box<TrainArgs>),
    /// Train a diffusion model: autoencoder and U-Net.
    TrainDiffusion(TrainDiffusionArgs),
    /// Train an attribute checker on rendered images.
    TrainChecker(TrainCheckerArgs),
    /// How well a diffusion model follows prompts, by the attribute checker.
    Adherence(AdherenceArgs),
    /// Several models as one: weights chosen on validation images.
    Ensemble(EnsembleArgs),
    /// Put what the white box has learnt back into the diffusion model.
    Graft(GraftArgs),
    /// Fit the domain-adaptive kernel of a model to your own images.
    Adapt(AdaptArgs),
    /// How good a model is: cosines, recall, calibration, latency.
    Evaluate(EvaluateArgs),
    /// Model weights: where they are, fetch and verify them.
    #[command(subcommand)]
    Models(ModelsCommand),
}

/// What a flag's environment variable may hold: nothing, 0, false, no and off are no.
fn flag() -> FalseyValueParser {
    FalseyValueParser::new()
}

/// A whole number above 0.
fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// A number above 0.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err(format!("{text} is no number above 0")),
    }
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a number from 0 to 1 is wanted".to_owned()),
    }
}
