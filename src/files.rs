//! Files that are written whole or not at all.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// What a JSON file that configures a model describes.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::ModelConfig`] if it describes something else.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
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
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    // What is written is for others to read, too, as far as the umask allows; temporary files are not.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(Error::io("write", path))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.as_file().sync_all().map_err(Error::io("sync", path))?;
    file.persist(path)
        .map_err(|error| Error::io("write", path)(error.error))?;
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
