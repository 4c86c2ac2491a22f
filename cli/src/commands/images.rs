//! The image files of a command line, each on its own: one that fails does not stop the others.

use std::path::{Path, PathBuf};

use anyhow::Result;
use unprompt::image::files;

use crate::output::status::{SomeFailed, line};
use crate::stop;

/// Has `work` look at each image file below `paths`, and `show` what it makes of it. An image that
/// fails gets a line on stderr.
///
/// # Errors
/// [`SomeFailed`] at the end if any image failed; at once if `show` fails or a stop is asked for.
pub(super) fn each<T>(
    paths: &[PathBuf],
    mut work: impl FnMut(&Path) -> Result<T>,
    mut show: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let files = image_files(paths);
    let mut failed = 0;
    for path in &files {
        stop::check()?;
        match work(path) {
            Ok(made) => show(made)?,
            Err(error) => {
                failed += 1;
                eprintln!("unprompt: {}: {}", path.display(), line(&error));
            }
        }
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(SomeFailed {
            failed,
            total: files.len(),
        }
        .into())
    }
}

/// The given files, and the image files of the given folders and those below, in order of name. A
/// folder that cannot be read stands for itself, so that it fails like a file and the rest goes on.
pub(super) fn image_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = vec![];
    for path in paths {
        if path.is_dir() {
            let images = files::below(path);
            if images.is_empty() {
                tracing::warn!("{} holds no image files", path.display());
            }
            found.extend(images);
        } else {
            found.push(path.clone());
        }
    }
    found
}
