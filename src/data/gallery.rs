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

/// Files that were read before, by name.
#[derive(Clone, Debug, Default)]
pub struct KnownFiles(HashMap<String, Known>);

/// What a file was like.
#[derive(Clone, Copy, Debug)]
struct Known {
    bytes: u64,
    /// Milliseconds since 1970 UTC.
    changed: i64,
    predicted: bool,
}

impl KnownFiles {
    /// Adds what is kept of an image, if it was read from a file.
    pub fn add(&mut self, image: &ImageRecord) {
        if let (Some(bytes), Some(changed)) = (image.file_size, image.timestamp) {
            let known = Known {
                bytes,
                changed,
                predicted: image.predicted.is_some(),
            };
            self.0.insert(image.image_name.clone(), known);
        }
    }

    /// Whether a file was read before, as it is now or otherwise.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether a file was read before and given a prompt that was predicted.
    pub fn is_predicted(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|known| known.predicted)
    }

    /// The names of those that lay in a folder, or below.
    pub fn below(&self, folder: &Path) -> impl Iterator<Item = &str> {
        let names = self.0.keys().map(String::as_str);
        names.filter(move |name| Path::new(name).starts_with(folder))
    }

    fn has(&self, file: &ImageRecord) -> bool {
        self.0.get(&file.image_name).is_some_and(|known| {
            (Some(known.bytes), Some(known.changed)) == (file.file_size, file.timestamp)
        })
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
    read(out, &files::below(&whole_folder(out.path)?), known);
    Ok(())
}

/// Whether a folder has images, there or below, or had some that are known.
pub(super) fn is_gallery(folder: &Path, known: &KnownFiles) -> Result<bool> {
    let whole = whole_folder(folder)?;
    let has_images = files::below(folder)
        .iter()
        .any(|path| files::is_image(path));
    Ok(has_images || known.below(&whole).next().is_some())
}

/// The absolute path of a folder, as the names of its images begin with it. It may be gone.
///
/// # Errors
/// [`Error::Io`] if it cannot be told where it is.
pub fn whole_folder(folder: &Path) -> Result<PathBuf> {
    let whole = folder.canonicalize().or_else(|_| whole(folder));
    whole.or_else(|_| std::path::absolute(folder).map_err(Error::io("resolve", folder)))
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
                Looked::Prompt(prompt, image) => {
                    let changed = match known.contains(&image.image_name) {
                        true => out.changed(&image.image_name),
                        false => ControlFlow::Continue(()),
                    };
                    match changed {
                        ControlFlow::Continue(()) => out.row(1, &prompt, || image),
                        stop @ ControlFlow::Break(()) => stop,
                    }
                }
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
        let dimensions = decode::dimensions(&bytes);
        let embedded = metadata::read(&bytes);
        match (dimensions, &embedded) {
            (Ok((width, height)), _) => {
                (image.width, image.height) = (Some(width), Some(height));
            }
            // A prompt is worth having, whatever became of the pixels.
            (Err(_), Some(_)) => {}
            (Err(error), None) => return Err(error),
        }
        let Some(embedded) = embedded else {
            return Ok(Looked::NoPrompt(image));
        };
        Ok(Looked::Prompt(
            embedded.prompt,
            ImageRecord {
                seed: embedded.seed,
                step: embedded.steps,
                cfg: embedded
                    .cfg
                    .map(|cfg| cfg as f32)
                    .filter(|cfg| cfg.is_finite()),
                sampler: embedded.sampler,
                model: embedded.model.as_deref().map(base_name),
                generator: Some(embedded.generator),
                ..image
            },
        ))
    };
    read().unwrap_or_else(|error: Error| Looked::Broken(one_line(&error)))
}

/// The name of a model without the folder that some generators put before it.
fn base_name(model: &str) -> String {
    model.rsplit(['/', '\\']).next().unwrap_or(model).to_owned()
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
