//! One file a command: from arguments to output.

mod embed;
mod models;
mod train;

use anyhow::Result;
use unprompt::models::ModelStore;
use unprompt::text::SentenceEncoder;

use crate::args::{Cli, Command, Global};
use crate::output::progress::Download;

/// The sentence encoder of every index and model.
const SENTENCE_ENCODER: &str = "all-MiniLM-L6-v2";

/// Runs the command that was given.
pub(crate) fn run(cli: &Cli) -> Result<()> {
    let global = &cli.global;
    match &cli.command {
        Command::Embed(args) => embed::run(args, global),
        Command::Train(args) => train::run(args, global),
        Command::Models(command) => models::run(command, global),
    }
}

/// Finds or fetches the sentence encoder, and loads it.
fn sentence_encoder(global: &Global) -> Result<SentenceEncoder> {
    let files = ModelStore::from_env()?.pull(SENTENCE_ENCODER, &mut Download::new(global.quiet))?;
    Ok(SentenceEncoder::load(&files, &global.device.open()?)?)
}
