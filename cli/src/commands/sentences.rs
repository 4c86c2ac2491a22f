//! Which sentence encoder a command needs, and where it is.

use std::path::Path;

use anyhow::{Result, bail};
use unprompt::models::ModelStore;
use unprompt::predictor::{Predictor, published_folder};
use unprompt::text::SentenceEncoder;
use unprompt_index::Index;

use super::located;
use crate::args::Global;
use crate::output::progress::Download;

/// The sentence encoder where nobody says which.
const DEFAULT: &str = "all-MiniLM-L6-v2";

/// The one that was asked for, or the default.
pub(crate) fn chosen(global: &Global) -> Result<SentenceEncoder> {
    let Some(name_or_folder) = asked(global) else {
        return in_store(DEFAULT, global);
    };
    let name = published_folder(name_or_folder).unwrap_or(Path::new(name_or_folder));
    let listed = ModelStore::from_env()?.list();
    let known = listed.iter().any(|it| it.model.is_called(name_or_folder));
    // Of a model of the catalogue only the files that are needed are kept, without those that say how.
    if known && !name.is_dir() {
        in_store(name_or_folder, global)
    } else {
        in_folder(&located::existing(name)?, global)
    }
}

/// The one that was asked for, or that of an index. If the model that answers is a published CLIP, it is that.
pub(crate) fn of_index(
    index: &Index,
    model: Option<&str>,
    global: &Global,
) -> Result<SentenceEncoder> {
    match (asked(global), model.and_then(published_folder)) {
        (Some(_), _) => chosen(global),
        (None, Some(clip)) => in_folder(&located::folder(clip), global),
        (None, None) => named(&index.encoder().name, global),
    }
}

/// What was asked for.
fn asked(global: &Global) -> Option<&str> {
    let given = global.sentence_encoder.as_deref();
    given.filter(|name| !name.is_empty())
}

/// The one that was asked for, or that whose embeddings a model predicts.
pub(crate) fn of_predictor(predictor: &Predictor, global: &Global) -> Result<SentenceEncoder> {
    match (asked(global), published_folder(predictor.name())) {
        (Some(_), _) => chosen(global),
        (None, Some(folder)) => in_folder(folder, global),
        (None, None) => named(&predictor.sentence_encoder().name, global),
    }
}

/// That of this name, wherever it may be; the one that was asked for, if this is not the default.
pub(crate) fn named(name: &str, global: &Global) -> Result<SentenceEncoder> {
    if name == DEFAULT {
        return in_store(DEFAULT, global);
    }
    if asked(global).is_some() {
        return chosen(global);
    }
    match ModelStore::from_env()?.folder(name) {
        Some(folder) => in_folder(&folder, global),
        None => bail!(
            "prompts were embedded with {name}: give its folder with --sentence-encoder, or put it into \
             $UNPROMPT_MODELS/{}",
            name.rsplit('/').next().unwrap_or(name)
        ),
    }
}

/// A model of the catalogue, which is fetched if need be.
fn in_store(name: &str, global: &Global) -> Result<SentenceEncoder> {
    let files = ModelStore::from_env()?.pull(name, &mut Download::new(global.quiet))?;
    let device = global.device.open()?;
    Ok(SentenceEncoder::load(
        &files,
        &device,
        global.precision.on(&device),
    )?)
}

fn in_folder(folder: &Path, global: &Global) -> Result<SentenceEncoder> {
    let device = global.device.open()?;
    Ok(SentenceEncoder::open(
        folder,
        &device,
        global.precision.on(&device),
    )?)
}
