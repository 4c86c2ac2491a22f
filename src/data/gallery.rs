//! Image files as a source: the prompts that they carry.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;
use unprompt_index::ImageRecord;

use super::out::Out;
use crate::error::{Error, Result, one_line};
use crate::image::{decode, files};
use crate::metadata;

/// Files that are read between two chances to stop.
const FILES_AT_ONCE: usize = 64;

/// Files that were read before: by name, their size in bytes and time of change in milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default)]
pub struct KnownFiles(HashMap<String, (u64, i64)>);

impl KnownFiles {
    /// Adds what is kept of an image, if it was read from a file.
    pub fn add(&mut self, image: &ImageRecord) {
        if let (Some(size), Some(time)) = (image.file_size, image.timestamp) {
            self.0.insert(image.image_name.clone(), (size, time));
        }
    }

    /// Whether a file was read before, as it is now or otherwise.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names of those that lay in a folder, or below.
    pub fn below(&self, folder: &Path) -> impl Iterator<Item = &str> {
        let names = self.0.keys().map(String::as_str);
        names.filter(move |name| Path::new(name).starts_with(folder))
    }

    fn has(&self, file: &ImageRecord) -> bool {
        let known = self.0.get(&file.image_name).copied();
        known.is_some() && known == file.file_size.zip(file.timestamp)
    }
}

/// What there is to say about a file.
enum Looked {
    Unchanged,
    Prompt(String, ImageRecord),
    NoPrompt(ImageRecord),
    Broken(String),
}

/// Reads the images in a folder and below.
pub(super) fn read_folder(out: &mut Out<'_>, known: &KnownFiles) -> Result<()> {
    let folder = out.path.canonicalize();
    let folder = folder.map_err(Error::io("resolve", out.path))?;
    read(out, &files::below(&folder), known);
    Ok(())
}

/// Reads one image.
pub(super) fn read_file(out: &mut Out<'_>, known: &KnownFiles) -> Result<()> {
    read(out, &[whole(out.path)?], known);
    Ok(())
}

/// The name that an index has for an image file.
///
/// # Errors
/// [`Error::Io`] if its folder cannot be found, or the name is not UTF-8.
pub fn image_name(path: &Path) -> Result<String> {
    utf8(&whole(path)?).map(str::to_owned)
}

/// The absolute path of a file. A link to a file is a file of its own; one to its folder is not.
fn whole(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(Error::io("resolve", path))?;
    let folder = absolute.parent().unwrap_or(&absolute);
    let folder = folder
        .canonicalize()
        .map_err(Error::io("resolve", folder))?;
    Ok(folder.join(absolute.file_name().unwrap_or_default()))
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        let why = "its name is not UTF-8; rename it";
        let error = io::Error::new(io::ErrorKind::InvalidInput, why);
        Error::io("read", path)(error)
    })
}

fn read(out: &mut Out<'_>, files: &[PathBuf], known: &KnownFiles) {
    let mut done = 0;
    for some in files.chunks(FILES_AT_ONCE) {
        if out.is_full() {
            return;
        }
        let looked: Vec<Looked> = some.par_iter().map(|path| look(path, known)).collect();
        for (path, looked) in some.iter().zip(looked) {
            let mut out = out.at(path);
            let flow = match looked {
                Looked::Prompt(prompt, image) => out.row(1, &prompt, || image),
                Looked::NoPrompt(image) => out.without_prompt(image),
                Looked::Unchanged => {
                    out.unchanged();
                    ControlFlow::Continue(())
                }
                Looked::Broken(why) => {
                    out.broken(why);
                    ControlFlow::Continue(())
                }
            };
            if flow.is_break() {
                return;
            }
        }
        done += some.len();
        if out.looked_at(done, files.len()).is_break() {
            return;
        }
    }
}

fn look(path: &Path, known: &KnownFiles) -> Looked {
    let read = || {
        let mut image = describe(path)?;
        if known.has(&image) {
            return Ok(Looked::Unchanged);
        }
        let bytes = decode::read_file(path)?;
        let (width, height) = decode::dimensions(&bytes)?;
        (image.width, image.height) = (Some(width), Some(height));
        let Some(embedded) = metadata::read(&bytes) else {
            return Ok(Looked::NoPrompt(image));
        };
        Ok(Looked::Prompt(
            embedded.prompt,
            ImageRecord {
                seed: embedded.seed,
                step: embedded.steps,
                cfg: embedded.cfg.map(|cfg| cfg as f32),
                sampler: embedded.sampler,
                model: embedded.model,
                generator: Some(embedded.generator),
                ..image
            },
        ))
    };
    read().unwrap_or_else(|error: Error| Looked::Broken(one_line(&error)))
}

/// What is known of a file without looking into it.
fn describe(path: &Path) -> Result<ImageRecord> {
    let failed = |error| Error::io("read", path)(error);
    let name = utf8(path)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    let modified = metadata.modified().map_err(failed)?;
    // Before 1970 there were no files.
    let time = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(ImageRecord {
        image_name: name.to_owned(),
        file_size: Some(metadata.len()),
        timestamp: i64::try_from(time.as_millis()).ok(),
        ..ImageRecord::default()
    })
}
