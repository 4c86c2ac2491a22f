//! CSV (RFC 4180) and TSV files: a first line with the names of the columns, then a record a row.
//! Quotes mean in TSV what they mean in CSV, as spreadsheets and data frames write it.

use std::cell;

use csv::{ByteRecord, ReaderBuilder};

use super::bounded::Bounded;
use super::cell::Cell;
use super::columns::{ImageColumns, text_column};
use super::file::open_text;
use super::out::Out;
use crate::error::{Error, Result};

/// The most that is read of a file for one record, in bytes: a quote that is never closed would
/// otherwise take in all of the rest.
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// Reads a table whose fields end with `delimiter`.
pub(super) fn read(out: &mut Out<'_>, wanted: Option<&str>, delimiter: u8) -> Result<()> {
    let path = out.path;
    let damaged = |source| {
        let path = path.to_owned();
        Error::Table { path, source }
    };
    let left = cell::Cell::new(MAX_RECORD_BYTES);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .buffer_capacity(1 << 16)
        .from_reader(Bounded::new(
            open_text(path)?,
            &left,
            "a record is longer than 16 MiB: is a quote left open?",
        ));
    let names: Vec<String> = reader
        .byte_headers()
        .map_err(damaged)?
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim().to_owned())
        .collect();
    let text_place = text_column(path, wanted, &names)?;
    let image_columns = ImageColumns::of(&names);
    let mut record = ByteRecord::new();
    while !out.is_full() {
        left.set(MAX_RECORD_BYTES);
        if !reader.read_byte_record(&mut record).map_err(damaged)? {
            break;
        }
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != names.len() {
            let why = format!(
                "{} fields where the columns are {}",
                record.len(),
                names.len()
            );
            out.invalid(line, why);
            continue;
        }
        let field = |place| std::str::from_utf8(record.get(place).unwrap_or_default()).ok();
        let Some(prompt) = field(text_place) else {
            out.invalid(line, "no UTF-8");
            continue;
        };
        let image = || image_columns.image(|place| field(place).map_or(Cell::None, Cell::Text));
        if out.row(line, prompt, image).is_break() {
            break;
        }
    }
    Ok(())
}
