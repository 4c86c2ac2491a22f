//! One file a command: from arguments to output.

mod demo;
mod embed;
mod evaluate;
mod index;
mod models;
mod read;
mod reverse;
mod search;
mod train;

use std::path::{Path, PathBuf};

use anyhow::Result;
use unprompt::models::ModelStore;
use unprompt::predictor::Predictor;
use unprompt::text::SentenceEncoder;
use unprompt_index::Filter;

use crate::args::{Cli, Command, Global, HitArgs, IndexCommand};
use crate::output::progress::Download;

/// The sentence encoder of every index and model.
const SENTENCE_ENCODER: &str = "all-MiniLM-L6-v2";

/// Runs the command that was given.
pub(crate) fn run(cli: &Cli) -> Result<()> {
    let global = &cli.global;
    match &cli.command {
        Command::Demo(args) => demo::run(args, global),
        Command::Index(IndexCommand::Build(args)) => index::build(args, global),
        Command::Index(IndexCommand::Stats { index, json }) => index::stats(index, *json),
        Command::Index(IndexCommand::Check { index }) => index::check(index),
        Command::Search(args) => search::run(args, global),
        Command::Reverse(args) => reverse::run(args, global),
        Command::Read(args) => read::run(args),
        Command::Embed(args) => embed::run(args, global),
        Command::Train(args) => train::run(args, global),
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

/// File names that images have, in lower case.
const IMAGE_EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// The given files, and the image files of the given folders and those below, in order of name. A
/// folder that cannot be read stands for itself, so that it fails like a file and the rest goes on.
fn image_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = vec![];
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            add_images_below(path, &mut files);
            if files.len() == before {
                tracing::warn!("{} holds no image files", path.display());
            }
        } else {
            files.push(path.clone());
        }
    }
    files
}

fn add_images_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let Ok(mut paths) = list() else {
        files.push(folder.to_owned());
        return;
    };
    paths.sort();
    for path in paths {
        // A link to a folder may lead back up; links to files are fine.
        if path.is_dir() && !path.is_symlink() {
            add_images_below(&path, files);
        } else if path.is_file() && is_image(&path) {
            files.push(path);
        }
    }
}

fn is_image(path: &Path) -> bool {
    let extension = path
        .extension()
        .map(|extension| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| IMAGE_EXTENSIONS.iter().any(|known| extension == *known))
}
