//! Rows out of a source of prompts of any form that is known, which its name and content tell.
//!
//! Rows come one by one, so that a source may be larger than memory. What cannot be read is counted
//! and described, and the rest goes on; `docs/sources.md` says what is read from each form.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use unprompt_index::ImageRecord;

use super::gallery::KnownFiles;
use super::out::{Out, Total};
use super::row::Row;
pub use super::summary::Summary;
use super::{file, folder};
use crate::error::{Error, Result};
use crate::image::files::is_image;

/// The longest prompt, in bytes.
pub const MAX_PROMPT_BYTES: usize = 1 << 20;

/// What to read of a source.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The column that holds the prompts; otherwise the first there is of `prompt`, `text` and
    /// `caption`. Without meaning for text files and DiffusionDB's parts.
    pub text_column: Option<String>,
    /// The most rows to give out.
    pub limit: Option<usize>,
    /// How many numbers a vector must have that comes with a prompt; otherwise those of the first
    /// file decide.
    pub dim: Option<usize>,
    /// Image files that are passed over if they have not changed.
    pub known_files: Arc<KnownFiles>,
}

/// Takes what a source gives, and ends the reading with [`ControlFlow::Break`]. A closure that takes a [`Row`]
/// is one.
pub trait Sink {
    /// A row with a prompt.
    fn row(&mut self, row: Row) -> ControlFlow<()>;

    /// An image file that was read before and has changed; what it says now follows.
    fn changed(&mut self, _name: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// An image file that carries no prompt.
    fn without_prompt(&mut self, _image: ImageRecord) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// So many image files have been looked at, of how many.
    fn looked_at(&mut self, _done: usize, _total: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(Row) -> ControlFlow<()>> Sink for F {
    fn row(&mut self, row: Row) -> ControlFlow<()> {
        self(row)
    }
}

/// Reads a file whose name's ending tells its form, or a folder.
///
/// Files are `.txt` (one prompt a line), `.jsonl` or `.ndjson` (objects, or bare strings), `.csv`,
/// `.tsv`, `.parquet`, DiffusionDB's parts as `.json` or `.zip`, and images. A folder is DiffusionDB's or
/// one of its parts, one of prompts with their vectors as clip-retrieval writes it, one of images, or one of
/// data files.
///
/// Images are taken from columns with DiffusionDB's names, where a row has an `image_name`, and from image
/// files; the name of such a one is its absolute path.
///
/// # Errors
/// [`Error::DataForm`] for another ending, [`Error::DataFolder`] for another folder,
/// [`Error::MissingColumn`] and [`Error::TextColumn`] if there are no prompts,
/// [`Error::Unreadable`] if no row of a file can be read, [`Error::AllBroken`] if no file of a
/// folder can, [`Error::VectorDim`] if its vectors are not of the length asked for, and the error
/// of the form if a file that is the whole source is damaged.
pub fn read(path: &Path, options: &ReadOptions, sink: &mut dyn Sink) -> Result<Summary> {
    let metadata = path.metadata().map_err(Error::io("read", path))?;
    let mut total = Total::new(options.limit);
    let mut out = Out::new(path, &mut total, sink);
    if metadata.is_dir() {
        folder::read(&mut out, options)?;
    } else if is_image(path) {
        // One of many that a shell has listed; a broken one is no reason to end.
        file::read(&mut out, options)?;
    } else {
        out.file(path, |out| file::read(out, options))?;
    }
    Ok(total.into_summary())
}
