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
    let Some(name_or_folder) = global.sentence_encoder.as_deref() else {
        return in_store(DEFAULT, global);
    };
    let name = published_folder(name_or_folder).unwrap_or(Path::new(name_or_folder));
    let listed = ModelStore::from_env()?.list();
    let known = listed.iter().any(|it| it.model.is_called(name_or_folder));
    let folder = located::folder(name);
    // Of a model of the catalogue only the files that are needed are kept, without those that say how.
    if name.is_dir() || folder.is_dir() && !known {
        in_folder(&folder, global)
    } else {
        in_store(name_or_folder, global)
    }
}

/// The one that was asked for, or that of an index.
pub(crate) fn of_index(index: &Index, global: &Global) -> Result<SentenceEncoder> {
    match global.sentence_encoder {
        Some(_) => chosen(global),
        None => named(&index.encoder().name, global),
    }
}

/// The one that was asked for, or that whose embeddings a model predicts.
pub(crate) fn of_predictor(predictor: &Predictor, global: &Global) -> Result<SentenceEncoder> {
    match (&global.sentence_encoder, published_folder(predictor.name())) {
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
    if global.sentence_encoder.is_some() {
        return chosen(global);
    }
    match ModelStore::from_env()?.folder(name) {
        Some(folder) => in_folder(&folder, global),
        None => bail!(
            "prompts were embedded with {name}: give its folder with --sentence-encoder, or put it into \
             $UNPROMPT_MODELS/{name}"
        ),
    }
}

/// A model of the catalogue, which is fetched if need be.
fn in_store(name: &str, global: &Global) -> Result<SentenceEncoder> {
    let files = ModelStore::from_env()?.pull(name, &mut Download::new(global.quiet))?;
    Ok(SentenceEncoder::load(&files, &global.device.open()?)?)
}

fn in_folder(folder: &Path, global: &Global) -> Result<SentenceEncoder> {
    Ok(SentenceEncoder::open(folder, &global.device.open()?)?)
}
