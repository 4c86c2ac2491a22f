//! The folder that a run writes to.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint::FILE;
use super::{log, provenance};
use crate::checker;
use crate::diffusion::text_to_image::files as diffusion_files;
use crate::error::{Error, Result};
use crate::predictor::files;

/// What makes a folder a model of some kind.
const MODELS: [&str; 4] = [
    files::CONFIG,
    files::ENSEMBLE,
    checker::files::CONFIG,
    diffusion_files::UNET_CONFIG,
];

/// Makes a folder ready for a run, whose parts have their checkpoints in folders below it. What a run left that
/// was killed before its first checkpoint is no model from here on.
///
/// # Errors
/// As for [`leftovers`], and [`Error::Io`].
pub(super) fn prepare(folder: &Path, parts: &[&str], resume: bool) -> Result<()> {
    for path in leftovers(folder, parts, resume)? {
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    fs::create_dir_all(folder).map_err(Error::io("create", folder))
}

/// The files of a model that a run left which was killed before its first checkpoint. A folder that a run would spoil is
/// refused: with a run that is not to be gone on with, or with a model that no run here has begun.
///
/// # Errors
/// [`Error::CheckpointExists`], [`Error::Occupied`].
pub(super) fn leftovers(folder: &Path, parts: &[&str], resume: bool) -> Result<Vec<PathBuf>> {
    let mut parts = parts.iter().map(|part| folder.join(part));
    if let Some(part) = parts.clone().find(|part| part.join(FILE).exists()) {
        return match resume {
            true => Ok(vec![]),
            false => Err(Error::CheckpointExists {
                path: part.join(FILE),
            }),
        };
    }
    let models = MODELS.map(|name| folder.join(name));
    let models: Vec<PathBuf> = models.into_iter().filter(|path| path.exists()).collect();
    let has_begun = parts.any(|part| part.join(log::FILE).exists());
    let is_unfinished = has_begun && !folder.join(provenance::FILE).exists();
    if !models.is_empty() && !is_unfinished {
        let path = folder.to_owned();
        return Err(Error::Occupied { path });
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_gone_on_with_and_models_are_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let put = |name: &str| fs::write(path.join(name), "").unwrap();
        let is_free = |resume| prepare(path, &[""], resume).is_ok();
        assert!(is_free(false) && is_free(true));
        // Killed between its first model and its first checkpoint.
        put(log::FILE);
        put(files::CONFIG);
        assert!(is_free(false) && !path.join(files::CONFIG).exists());
        put(files::CONFIG);
        put(FILE);
        assert!(!is_free(false) && is_free(true));
        // Ended, and its checkpoint taken away.
        put(provenance::FILE);
        fs::remove_file(path.join(FILE)).unwrap();
        assert!(!is_free(false) && !is_free(true));
        // Made by something else than a run.
        for name in [log::FILE, provenance::FILE, files::CONFIG] {
            fs::remove_file(path.join(name)).unwrap();
        }
        assert!(is_free(true));
        put(files::ENSEMBLE);
        assert!(!is_free(false) && !is_free(true));
    }
}
