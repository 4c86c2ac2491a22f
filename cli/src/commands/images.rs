//! The image files of a command line, each on its own: one that fails does not stop the others.

use std::path::{Path, PathBuf};

use anyhow::Result;

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
    let files = files(paths);
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

/// File names that images have, in lower case.
const IMAGE_EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// The given files, and the image files of the given folders and those below, in order of name. A
/// folder that cannot be read stands for itself, so that it fails like a file and the rest goes on.
pub(super) fn files(paths: &[PathBuf]) -> Vec<PathBuf> {
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
