//! One file a command: from arguments to output.

mod adapt;
mod adherence;
mod dataset;
mod demo;
mod embed;
mod ensemble;
mod evaluate;
mod generate;
mod graft;
mod images;
mod index;
mod models;
mod read;
mod reverse;
mod search;
mod serve;
mod train;
mod train_checker;
mod train_diffusion;

use std::ffi::OsString;

use anyhow::Result;
use unprompt::models::ModelStore;
use unprompt::predictor::Predictor;
use unprompt::text::SentenceEncoder;
use unprompt_index::Filter;

use crate::args::{Cli, Command, Global, HitArgs};
use crate::output::progress::Download;

/// The sentence encoder of every index and model.
const SENTENCE_ENCODER: &str = "all-MiniLM-L6-v2";

/// Runs the command that was given.
pub(crate) fn run(cli: &Cli) -> Result<()> {
    let global = &cli.global;
    match &cli.command {
        Command::Demo(args) => demo::run(args, global),
        Command::Index(command) => index::run(command, global),
        Command::Search(args) => search::run(args, global),
        Command::Reverse(args) => reverse::run(args, global),
        Command::Serve(args) => serve::run(args, global),
        Command::Read(args) => read::run(args),
        Command::Embed(args) => embed::run(args, global),
        Command::Train(args) => train::run(args, global),
        Command::TrainDiffusion(args) => train_diffusion::run(args, global),
        Command::TrainChecker(args) => train_checker::run(args, global),
        Command::Adherence(args) => adherence::run(args, global),
        Command::Ensemble(args) => ensemble::run(args, global),
        Command::Graft(args) => graft::run(args),
        Command::Generate(args) => generate::run(args, global),
        Command::Dataset(args) => dataset::run(args, global),
        Command::Adapt(args) => adapt::run(args, global),
        Command::Evaluate(args) => evaluate::run(args, global),
        Command::Models(command) => models::run(command, global),
    }
}

/// Finds or fetches the sentence encoder, and loads it.
fn sentence_encoder(global: &Global) -> Result<SentenceEncoder> {
    let files = ModelStore::from_env()?.pull(SENTENCE_ENCODER, &mut Download::new(global.quiet))?;
    Ok(SentenceEncoder::load(&files, &global.device.open()?)?)
}

fn predictor(name_or_folder: &str, global: &Global) -> Result<Predictor> {
    Ok(Predictor::open(name_or_folder, &global.device.open()?)?)
}

fn filter(args: &HitArgs) -> Result<Option<Filter>> {
    Ok(args.filter.as_deref().map(Filter::parse).transpose()?)
}

/// The command as it was typed, but for the path of the program.
fn command_line() -> String {
    let quoted = |argument: OsString| {
        let text = argument.to_string_lossy().into_owned();
        let plain = |c: char| c.is_alphanumeric() || "-_=:./,".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    let arguments: Vec<String> = std::env::args_os().skip(1).map(quoted).collect();
    format!("unprompt {}", arguments.join(" "))
}
