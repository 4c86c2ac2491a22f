//! The command line: what can be typed, and what it means. One struct a command.

mod models;
mod train;

use clap::{ArgAction, Args, Parser, Subcommand};
use unprompt::device::DeviceChoice;

pub(crate) use models::{EmbedArgs, ModelsCommand};
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
    #[arg(short, long, global = true, env = "UNPROMPT_QUIET")]
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sentence embeddings of texts, as JSON Lines.
    Embed(EmbedArgs),
    /// Train an image encoder with its heads.
    Train(TrainArgs),
    /// Model weights: where they are, fetch and verify them.
    #[command(subcommand)]
    Models(ModelsCommand),
}
