//! Rows out of a data file of any form that is known: text, JSON Lines, CSV, TSV or Parquet.
//!
//! Rows come one by one, so that a file may be larger than memory. What cannot be read of a text
//! file is counted and described, and the rest goes on.

use std::fmt;
use std::ops::{AddAssign, ControlFlow};
use std::path::Path;

use unprompt_index::ImageRecord;

use super::row::Row;
use super::{lines, parquet, table};
use crate::error::{Error, Result};

/// The longest prompt, in bytes.
pub const MAX_PROMPT_BYTES: usize = 1 << 20;

/// How many unreadable rows a [`Summary`] describes.
const MAX_PROBLEMS: usize = 5;

/// What to read of a file.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The column that holds the prompts; otherwise the first there is of `prompt`, `text` and
    /// `caption`. Without meaning for text files.
    pub text_column: Option<String>,
    /// The most rows to give out.
    pub limit: Option<usize>,
}

/// What became of the rows of one file, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows given out.
    pub rows: usize,
    /// Rows without a prompt.
    pub empty: usize,
    /// Rows that could not be read.
    pub invalid: usize,
    /// The first of those, as `file:line: why`; in Parquet files the number is the row's, from 1.
    pub problems: Vec<String>,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.empty += other.empty;
        self.invalid += other.invalid;
        self.problems.extend(other.problems);
        self.problems.truncate(MAX_PROBLEMS);
    }
}

/// Reads a file whose name's ending tells its form: `.txt` (one prompt a line), `.jsonl` or
/// `.ndjson` (objects, or bare strings), `.csv`, `.tsv`, `.parquet`.
///
/// Images are taken from columns with DiffusionDB's names, where a row has an `image_name`. `sink`
/// gets each row with a prompt, and ends the reading with [`ControlFlow::Break`].
///
/// # Errors
/// [`Error::DataForm`] for another ending, [`Error::DataFolder`] for a folder,
/// [`Error::MissingColumn`] and [`Error::TextColumn`] if there are no prompts, and the error of the
/// form if the file as a whole is damaged.
pub fn read(
    path: &Path,
    options: &ReadOptions,
    sink: &mut dyn FnMut(Row) -> ControlFlow<()>,
) -> Result<Summary> {
    let metadata = path.metadata().map_err(Error::io("read", path))?;
    if metadata.is_dir() {
        let path = path.to_owned();
        return Err(Error::DataFolder { path });
    }
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let mut out = Out {
        path,
        left: options.limit.unwrap_or(usize::MAX),
        summary: Summary::default(),
        sink,
    };
    let column = options.text_column.as_deref();
    match extension.to_str() {
        Some("txt") => lines::read_text(&mut out)?,
        Some("jsonl" | "ndjson") => lines::read_json(&mut out, column)?,
        Some("csv") => table::read(&mut out, column, b',')?,
        Some("tsv") => table::read(&mut out, column, b'\t')?,
        Some("parquet") => parquet::read(&mut out, column)?,
        _ => {
            let path = path.to_owned();
            return Err(Error::DataForm { path });
        }
    }
    Ok(out.summary)
}

/// Where the readers of the single forms put what they find.
pub(super) struct Out<'a> {
    /// The file that is read.
    pub(super) path: &'a Path,
    left: usize,
    summary: Summary,
    sink: &'a mut dyn FnMut(Row) -> ControlFlow<()>,
}

impl Out<'_> {
    /// Whether no more rows are wanted.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    /// A row with its prompt as it stands in the file; `image` is asked only if there is one.
    pub(super) fn row(
        &mut self,
        line: u64,
        prompt: &str,
        image: impl FnOnce() -> Option<ImageRecord>,
    ) -> ControlFlow<()> {
        let prompt = prompt.trim();
        if prompt.is_empty() {
            self.empty();
        } else if prompt.len() > MAX_PROMPT_BYTES {
            self.invalid(line, "the prompt is longer than 1 MiB");
        } else {
            self.summary.rows += 1;
            self.left = self.left.saturating_sub(1);
            (self.sink)(Row {
                prompt: prompt.to_owned(),
                image: image(),
            })?;
        }
        if self.is_full() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// A row without a prompt.
    pub(super) fn empty(&mut self) {
        self.summary.empty += 1;
    }

    /// A row that cannot be read.
    pub(super) fn invalid(&mut self, line: u64, why: impl fmt::Display) {
        self.summary.invalid += 1;
        if self.summary.problems.len() < MAX_PROBLEMS {
            let problem = format!("{}:{line}: {why}", self.path.display());
            self.summary.problems.push(problem);
        }
    }
}
