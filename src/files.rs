//! Files that are written whole or not at all, and those that others placed.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// How a file begins that git has without git-lfs, in the place of a large one.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A file that others placed.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::LfsPointer`] if it only says where the file would be.
pub(crate) fn open(path: &Path) -> Result<File> {
    let failed = |source| Error::io("read", path)(source);
    let mut start = vec![];
    let length = LFS_POINTER.len() as u64;
    let mut file = File::open(path).map_err(failed)?;
    let read = Read::by_ref(&mut file).take(length).read_to_end(&mut start);
    read.map_err(failed)?;
    if start == LFS_POINTER {
        let path = path.to_owned();
        return Err(Error::LfsPointer { path });
    }
    file.rewind().map_err(failed)?;
    Ok(file)
}

/// The bytes of a file that others placed.
///
/// # Errors
/// As for [`open`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    let read = open(path)?.read_to_end(&mut bytes);
    read.map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// What a JSON file that configures a model describes.
///
/// # Errors
/// As for [`open`], and [`Error::ModelConfig`] if it describes something else.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read(path)?;
    serde_json::from_slice(&bytes).map_err(|source| Error::ModelConfig {
        path: path.to_owned(),
        source,
    })
}

/// The same, of a file that need not be there.
///
/// # Errors
/// As for [`json`].
pub(crate) fn json_if_any<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if path.is_file() {
        json(path).map(Some)
    } else {
        Ok(None)
    }
}

/// `settings` with those of `others` in their places.
pub(crate) fn overlaid(mut settings: Value, others: &Value) -> Value {
    if let (Some(settings), Some(others)) = (settings.as_object_mut(), others.as_object()) {
        settings.extend(others.clone());
    }
    settings
}

/// The configuration at `path`, whose settings in `fixed` must be as we know them.
///
/// # Errors
/// As for [`json`] and [`check_fixed`].
pub(crate) fn settings<T: DeserializeOwned>(path: &Path, fixed: &[(&str, &str)]) -> Result<T> {
    let value: Value = json(path)?;
    check_fixed(path, &value, fixed)?;
    serde_json::from_value(value).map_err(|source| Error::ModelConfig {
        path: path.to_owned(),
        source,
    })
}

/// Checks that settings of the configuration at `path` which are known in one value alone have it, as far as
/// they are there: `fixed` has their keys with the value in JSON. `null` counts as not there.
///
/// # Errors
/// [`Error::Unsupported`] for the first that has another.
pub(crate) fn check_fixed(path: &Path, config: &Value, fixed: &[(&str, &str)]) -> Result<()> {
    for (key, known) in fixed {
        let is_known = |given: &Value| match (given.as_f64(), known.parse::<f64>()) {
            (Some(given), Ok(known)) => given == known,
            _ => serde_json::from_str::<Value>(known).is_ok_and(|known| known == *given),
        };
        let given = config.get(*key).filter(|value| !value.is_null());
        if let Some(given) = given.filter(|given| !is_known(given)) {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                why: format!("{key} = {given} is not known, only {known} is"),
            });
        }
    }
    Ok(())
}

/// Writes a whole file or nothing: temporary file, sync, rename.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = unfinished(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    put(file, path)
}

/// The same of a file that `write` makes where it is told to.
///
/// # Errors
/// What `write` reports, else as for [`write_atomically`].
pub(crate) fn write_atomically_by(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let failed = |source| Error::io("write", path)(source);
    let unfinished = unfinished(path)?;
    let usual = unfinished.as_file().metadata().map_err(failed)?;
    // Closed, so that it can be replaced on every system.
    let unfinished = unfinished.into_temp_path();
    write(&unfinished)?;
    // That may have put a file of its own there, which nobody else could read.
    let mut written = File::options();
    let written = written.write(true).open(&unfinished);
    let written = written.map_err(failed)?;
    let readable = written.set_permissions(usual.permissions());
    readable.map_err(failed)?;
    written.sync_all().map_err(Error::io("sync", path))?;
    let kept = unfinished.persist(path);
    kept.map_err(|error| failed(error.error))
}

/// Copies a file that others placed, whole or not at all; the folder that it is to lie in is made if it is not there.
///
/// # Errors
/// As for [`open`] and [`write_atomically`].
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = open(from)?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    let mut file = unfinished(to)?;
    io::copy(&mut source, file.as_file_mut()).map_err(Error::io("write", to))?;
    put(file, to)
}

/// A temporary file beside `path`, which [`put`] gives that name when it is whole.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written.
pub(crate) fn unfinished(path: &Path) -> Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    // What is written is for others to read, too, as far as the umask allows; temporary files are not.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder.unwrap_or(Path::new(".")));
    file.map_err(Error::io("write", path))
}

/// Forces a whole file to disk, and gives it the name `path`.
///
/// # Errors
/// [`Error::Io`] if that fails.
pub(crate) fn put(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(Error::io("sync", path))?;
    let kept = file.persist(path);
    kept.map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

/// Removes a file, if it is there.
///
/// # Errors
/// [`Error::Io`] if it cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_has_in_the_place_of_a_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, "{}").unwrap();
        assert_eq!(read(&path).unwrap(), b"{}");
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90\n";
        fs::write(&path, pointer).unwrap();
        let error = json::<Value>(&path).unwrap_err();
        assert!(matches!(error, Error::LfsPointer { .. }), "{error}");
    }

    #[test]
    fn settings_that_are_not_known_are_told_of() {
        let config =
            serde_json::json!({"act_fn": "silu", "norm": null, "upcast": true, "scale": 1.0});
        let check = |fixed| check_fixed(Path::new("config.json"), &config, fixed);
        assert!(
            check(&[
                ("act_fn", "\"silu\""),
                ("norm", "1"),
                ("other", "2"),
                ("scale", "1")
            ])
            .is_ok()
        );
        let error = check(&[("upcast", "false")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "config.json: upcast = true is not known, only false is"
        );
    }
}
