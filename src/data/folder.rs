//! A folder as a source: which of the known ones it is.

use std::fs;
use std::path::{Path, PathBuf};

use super::file::{self, Form};
use super::out::Out;
use super::read::ReadOptions;
use super::{diffusiondb, embeddings, gallery};
use crate::error::{Error, Result};

/// How many names a message lists.
const MAX_NAMES: usize = 10;

/// What lies directly in a folder, in the order of names; nothing hidden.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Its files.
    pub(super) files: Vec<PathBuf>,
    /// Its folders.
    pub(super) folders: Vec<PathBuf>,
}

impl Listing {
    /// That of the folder at `path`.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("read", path)(error);
        let mut listing = Self::default();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            // A link that leads nowhere is left for its reader to report.
            if path.is_dir() {
                listing.folders.push(path);
            } else {
                listing.files.push(path);
            }
        }
        listing.files.sort_unstable();
        listing.folders.sort_unstable();
        Ok(listing)
    }
}

/// The name of a file or folder, for messages.
pub(super) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| name(path)).collect()
}

/// The first few of `names`, and how many there are beside them.
pub(super) fn list(names: &[String]) -> String {
    let (listed, rest) = names.split_at(names.len().min(MAX_NAMES));
    let listed = listed.join(", ");
    if rest.is_empty() {
        listed
    } else {
        format!("{listed} and {} more", rest.len())
    }
}

/// Reads the folder.
pub(super) fn read(out: &mut Out<'_>, options: &ReadOptions) -> Result<()> {
    let listing = Listing::of(out.path)?;
    if diffusiondb::read(out, options, &listing)? || embeddings::read(out, options, &listing)? {
        return Ok(());
    }
    let is_data = |form: Option<Form>| {
        form.is_some_and(|form| !matches!(form, Form::Part | Form::ZippedPart | Form::Image))
    };
    let (data, others): (Vec<PathBuf>, Vec<PathBuf>) = listing
        .files
        .into_iter()
        .partition(|path| is_data(Form::of(path)));
    if gallery::is_gallery(out.path, &options.known_files)? {
        // Texts lie beside many images and are about them; a table is a source of its own.
        let (texts, tables): (Vec<PathBuf>, Vec<PathBuf>) = data
            .into_iter()
            .partition(|path| Form::of(path) == Some(Form::Text));
        if !texts.is_empty() {
            out.note(format!(
                "{}: reading the prompts of its images, and none of its text files; name those to have them \
                 read: {}",
                out.path.display(),
                list(&names(&texts))
            ));
        }
        if !tables.is_empty() {
            read_data(out, options, tables)?;
        }
        return gallery::read_folder(out, &options.known_files);
    }
    if data.is_empty() {
        return Err(Error::DataFolder {
            path: out.path.to_owned(),
            found: describe(&others, &listing.folders),
        });
    }
    read_data(out, options, data)
}

fn read_data(out: &mut Out<'_>, options: &ReadOptions, data: Vec<PathBuf>) -> Result<()> {
    out.note(format!(
        "{}: reading its data files: {}",
        out.path.display(),
        list(&names(&data))
    ));
    let files = data.into_iter().map(|path| (path, ()));
    out.files(files, |out, ()| file::read(out, options))
}

/// What a folder holds that is no source.
fn describe(files: &[PathBuf], folders: &[PathBuf]) -> String {
    let names = names(&[folders, files].concat());
    if names.is_empty() {
        return "nothing".to_owned();
    }
    list(&names)
}
