//! What a model consists of, to tell it from others and to take it elsewhere.

use std::fs;
use std::path::{Component, Path};

use super::config::PredictorConfig;
use super::{files, members};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::files::{remove, write_atomically};

/// What a network and its vocabulary consist of; the configuration stands last, so that a folder without
/// it is not taken for a model.
const NETWORK: [&str; 3] = [files::WEIGHTS, files::VOCABULARY, files::CONFIG];

/// What is fitted to the networks of a folder, and wrong beside others.
const FITTED: [&str; 4] = [
    files::CONFIDENCE,
    files::RESIDUALS,
    files::FAMILIARITY,
    files::ADAPTATION,
];

/// What tells the networks of a model or ensemble from all others: the SHA-256 of each, hexadecimal, with
/// its weight in the ensemble.
///
/// # Errors
/// As for [`Predictor::open`](super::Predictor::open).
pub(crate) fn identity(bundle: &Bundle) -> Result<String> {
    let identities = members(bundle)?
        .iter()
        .map(|(member, own)| Ok(format!("{} of {}", member.weight, own.digest(&NETWORK)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(identities.join(", "))
}

/// Refuses a folder that holds another model or ensemble than `from`.
///
/// # Errors
/// [`Error::Occupied`], or what is wrong with a file.
pub(crate) fn check_free(from: &Bundle, folder: &Path) -> Result<()> {
    let there = Bundle::folder(folder);
    let is_model = there.has(files::CONFIG) || there.has(files::ENSEMBLE);
    if is_model && identity(&there)? != identity(from)? {
        return Err(Error::Occupied {
            path: folder.to_owned(),
        });
    }
    Ok(())
}

/// Copies a model or ensemble to `folder`, without what was fitted to it.
///
/// # Errors
/// What is wrong with a file; [`Error::EnsembleWeights`] if an ensemble has a member outside its folder.
pub(crate) fn copy(from: &Bundle, folder: &Path) -> Result<()> {
    if !from.has(files::ENSEMBLE) {
        return copy_network(from, folder);
    }
    for (member, own) in members(from)? {
        let inside = Path::new(&member.folder).components();
        if !inside
            .clone()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(Error::EnsembleWeights {
                path: from.path(files::ENSEMBLE),
            });
        }
        copy_network(&own, &folder.join(&member.folder))?;
    }
    copy_file(from, files::ENSEMBLE, folder)
}

/// Copies a network, what its encoder reads beside its weights, and its vocabulary.
///
/// # Errors
/// What is wrong with a file.
pub(crate) fn copy_network(from: &Bundle, folder: &Path) -> Result<()> {
    let config: PredictorConfig = from.json(files::CONFIG)?;
    for beside in config.encoder.folders() {
        copy_folder(&from.path(beside), &folder.join(beside))?;
    }
    NETWORK
        .iter()
        .try_for_each(|name| copy_file(from, name, folder))
}

/// Copies the files of a folder, which has none below it.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let failed = |source| Error::io("read", from)(source);
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        crate::files::copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy_file(from: &Bundle, name: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    write_atomically(&folder.join(name), &from.bytes(name)?)
}

/// Removes what was fitted to the networks of a folder, which are about to change.
///
/// # Errors
/// [`Error::Io`] if a file cannot be removed.
pub(crate) fn remove_fitted(folder: &Path) -> Result<()> {
    FITTED
        .iter()
        .try_for_each(|name| remove(&folder.join(name)))
}
