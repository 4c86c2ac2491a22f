//! One file a command: from arguments to output.

mod adapt;
mod adherence;
mod caption;
mod dataset;
mod demo;
mod embed;
mod ensemble;
mod evaluate;
mod generate;
mod graft;
mod images;
mod index;
mod located;
mod models;
mod read;
mod reverse;
mod search;
mod sentences;
mod serve;
mod train;
mod train_checker;
mod train_diffusion;

use std::ffi::OsString;

use anyhow::Result;
use unprompt::predictor::Predictor;
use unprompt_index::Filter;

use crate::args::{Cli, Command, HitArgs};

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
        Command::Caption(args) => caption::run(args, global),
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

/// What a user is told who gets no confidence from a model.
fn warn_of_no_fit(predictor: &Predictor) {
    let model = predictor.name();
    if predictor.is_published() {
        tracing::warn!("nothing has been fitted to {model}, so every confidence is 0");
    } else {
        tracing::warn!(
            "the model {model} has no fitted confidence, so every confidence is 0: unprompt evaluate \
             --model {model} --fit-confidence"
        );
    }
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
