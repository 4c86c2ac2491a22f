//! A single data file, whose name's ending tells its form.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::out::Out;
use super::read::ReadOptions;
use super::{gallery, lines, parquet, part, table};
use crate::error::{Error, Result};
use crate::image::files::is_image;

/// The forms of data files, by the ending of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One prompt a line.
    Text,
    /// One JSON value a line.
    JsonLines,
    /// A table with commas.
    Csv,
    /// A table with tabulators.
    Tsv,
    /// A Parquet file.
    Parquet,
    /// The JSON of one of DiffusionDB's parts.
    Part,
    /// One of DiffusionDB's parts, zipped.
    ZippedPart,
    /// An image that may carry its prompt.
    Image,
}

impl Form {
    /// That of the file at `path`, if it is one of those known.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_ascii_lowercase();
        Some(match extension.to_str()? {
            "txt" => Self::Text,
            "jsonl" | "ndjson" => Self::JsonLines,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "parquet" => Self::Parquet,
            "json" => Self::Part,
            "zip" => Self::ZippedPart,
            _ if is_image(path) => Self::Image,
            _ => return None,
        })
    }
}

/// Reads the file.
pub(super) fn read(out: &mut Out<'_>, options: &ReadOptions) -> Result<()> {
    let column = options.text_column.as_deref();
    match Form::of(out.path) {
        Some(Form::Text) => lines::read_text(out),
        Some(Form::JsonLines) => lines::read_json(out, column),
        Some(Form::Csv) => table::read(out, column, b','),
        Some(Form::Tsv) => table::read(out, column, b'\t'),
        Some(Form::Parquet) => parquet::read(out, options, None),
        Some(Form::Part) => part::read_json(out),
        Some(Form::ZippedPart) => part::read_zip(out),
        Some(Form::Image) => gallery::read_file(out, &options.known_files),
        None => Err(Error::DataForm {
            path: out.path.to_owned(),
        }),
    }
}

/// Opens a file of text.
///
/// # Errors
/// [`Error::NotText`] if its front shows another encoding or no text at all: of such a file some
/// lines would pass for prompts.
pub(super) fn open_text(path: &Path) -> Result<BufReader<File>> {
    let failed = |error| Error::io("read", path)(error);
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let front = reader.fill_buf().map_err(failed)?;
    let why = if front.starts_with(b"\xff\xfe") || front.starts_with(b"\xfe\xff") {
        "it begins as UTF-16 does; convert it, for example with `iconv -f UTF-16 -t UTF-8`"
    } else if front.contains(&0) && !is_utf8(front) {
        "it holds bytes that no text holds; is it a binary file?"
    } else {
        return Ok(reader);
    };
    Err(Error::NotText {
        path: path.to_owned(),
        why,
    })
}

/// Whether `front` is UTF-8, but for a character that its end cuts.
fn is_utf8(front: &[u8]) -> bool {
    std::str::from_utf8(front).map_or_else(|error| error.error_len().is_none(), |_| true)
}
