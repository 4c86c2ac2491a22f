//! What a model consists of, to tell it from others and to take it elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::config::PredictorConfig;
use super::{files, members};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::files::{remove, write_atomically};
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

/// Refuses a folder that holds another model or ensemble than `from`, or something that would be read with it.
///
/// # Errors
/// [`Error::Occupied`] and [`Error::InTheWay`], or what is wrong with a file.
pub(crate) fn check_free(from: &Bundle, folder: &Path) -> Result<()> {
    let there = Bundle::folder(folder);
    let is_model = there.has(files::CONFIG) || there.has(files::ENSEMBLE);
    if is_model && identity(&there)? != identity(from)? {
        return Err(Error::Occupied {
            path: folder.to_owned(),
        });
    }
    members(from)?
        .iter()
        .try_for_each(|(member, own)| check_place(&beside(own)?, &folder.join(&member.folder)))
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
/// As for [`place`], and what is wrong with a file.
pub(crate) fn copy_network(from: &Bundle, folder: &Path) -> Result<()> {
    place(&beside(from)?, folder)?;
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
pub(crate) fn beside(bundle: &Bundle) -> Result<Vec<Beside>> {
    let config: PredictorConfig = bundle.json(files::CONFIG)?;
    let folder = bundle.path("");
    let names = config.encoder.files(&folder)?.into_iter();
    let beside = names.map(|name| Beside {
        file: folder.join(&name),
        name,
    });
    Ok(beside.collect())
}

/// Copies such files to the folder of a model, as far as they are not there already.
///
/// # Errors
/// As for [`check_place`], and if one cannot be copied.
pub(crate) fn place(files: &[Beside], folder: &Path) -> Result<()> {
    check_place(files, folder)?;
    let missing = |it: &&Beside| !folder.join(&it.name).exists();
    let mut missing = files.iter().filter(missing);
    missing.try_for_each(|it| crate::files::copy(&it.file, &folder.join(&it.name)))
}

/// Refuses a folder where something lies that would be read in the place of such files, or with them.
///
/// # Errors
/// [`Error::InTheWay`] if there is something, [`Error::Io`] if that cannot be told.
pub(crate) fn check_place(files: &[Beside], folder: &Path) -> Result<()> {
    let wanted = files.iter().map(|it| (folder.join(&it.name), &it.file));
    let wanted: BTreeMap<PathBuf, &PathBuf> = wanted.collect();
    let folders: BTreeSet<&Path> = wanted.keys().filter_map(|path| path.parent()).collect();
    let digest = |path: &Path| models::fingerprint(&[path.to_owned()]);
    for below in folders {
        let failed = |source| Error::io("read", below)(source);
        let entries = match fs::read_dir(below) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            // Nothing hidden is read: what a killed run had not yet given its name, say.
            if name.starts_with(b".") {
                continue;
            }
            let same = match wanted.get(&path) {
                Some(file) => digest(file)? == digest(&path)?,
                None => false,
            };
            if !same {
                return Err(Error::InTheWay { path });
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_placed_where_nothing_is_in_their_way() {
        let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let wanted = ["captioner/a", "captioner/b", "tokenizer/c"].map(|name| {
            let file = from.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, name).unwrap();
            let name = PathBuf::from(name);
            Beside { file, name }
        });
        let to = to.path();
        // One that was copied before a run was killed, and half of another.
        fs::create_dir_all(to.join("captioner")).unwrap();
        fs::write(to.join("captioner/a"), "captioner/a").unwrap();
        fs::write(to.join("captioner/.tmp1"), "capt").unwrap();
        for other in ["captioner/b", "captioner/d"] {
            fs::write(to.join(other), "captioner/B").unwrap();
            let error = place(&wanted, to).unwrap_err();
            assert!(matches!(error, Error::InTheWay { .. }), "{error}");
            assert!(error.to_string().contains(other), "{error}");
            assert!(!to.join("tokenizer").exists());
            fs::remove_file(to.join(other)).unwrap();
        }
        for _ in 0..2 {
            place(&wanted, to).unwrap();
        }
        for Beside { file, name } in &wanted {
            assert_eq!(fs::read(file).unwrap(), fs::read(to.join(name)).unwrap());
        }
        fs::write(to.join("tokenizer/vocab.json"), "").unwrap();
        assert!(place(&wanted, to).is_err());
    }
}
