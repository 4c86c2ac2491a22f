//! What a model consists of, to tell it from others and to take it elsewhere.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::config::PredictorConfig;
use super::{files, members};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::files::{remove, write_atomically};
use crate::image::encoders::EncoderConfig;
use crate::models;

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
    place(&beside(from, &config.encoder)?, folder)?;
    NETWORK
        .iter()
        .try_for_each(|name| copy_file(from, name, folder))
}

/// A file that an encoder reads beside its weights.
pub(crate) struct Beside {
    /// Where it is.
    pub(crate) file: PathBuf,
    /// Its path below the folder of the model.
    pub(crate) name: PathBuf,
}

/// The files that the encoder of a model reads beside its weights.
///
/// # Errors
/// If one that lists others is not there or is damaged.
pub(crate) fn beside(bundle: &Bundle, encoder: &EncoderConfig) -> Result<Vec<Beside>> {
    let folder = bundle.path("");
    let names = encoder.files(&folder)?.into_iter();
    let beside = names.map(|name| Beside {
        file: folder.join(&name),
        name,
    });
    Ok(beside.collect())
}

/// Copies such files to the folder of a model, as far as they are not there already.
///
/// # Errors
/// [`Error::Occupied`] if something else is there, which might be read in their place; else what is wrong with a file.
pub(crate) fn place(files: &[Beside], folder: &Path) -> Result<()> {
    let wanted: HashMap<PathBuf, &Path> = files
        .iter()
        .map(|it| (folder.join(&it.name), it.file.as_path()))
        .collect();
    let folders: BTreeSet<&Path> = wanted.keys().filter_map(|path| path.parent()).collect();
    let digest = |path: &Path| models::fingerprint(&[path.to_owned()]);
    for below in folders {
        // What cannot be listed is not there.
        for entry in fs::read_dir(below).into_iter().flatten().flatten() {
            let there = entry.path();
            // Nor is anything hidden read: what a killed run had not yet given its name, say.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let same = match wanted.get(&there) {
                Some(file) => digest(file)? == digest(&there)?,
                None => false,
            };
            if !same {
                let path = below.to_owned();
                return Err(Error::Occupied { path });
            }
        }
    }
    let mut missing = wanted.iter().filter(|(path, _)| !path.exists());
    missing.try_for_each(|(path, file)| crate::files::copy(file, path))
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
