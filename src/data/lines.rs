//! Files of lines: one prompt a line, or one JSON value a line (JSON Lines).

use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use serde_json::Value;
use unprompt_index::ImageRecord;

use super::cell::Cell;
use super::columns::{ImageColumns, missing_column, text_place};
use super::file::open_text;
use super::out::Out;
use crate::error::{Error, Result};

/// The longest line, in bytes: room for the longest prompt with every character escaped.
const MAX_LINE_BYTES: u64 = 8 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads one prompt a line.
pub(super) fn read_text(out: &mut Out<'_>) -> Result<()> {
    for_each_line(out, |out, number, line| {
        Ok(match std::str::from_utf8(line) {
            Ok(line) if line.contains('\0') => {
                out.invalid(number, "a zero byte, which no text holds");
                ControlFlow::Continue(())
            }
            Ok(line) => out.row(number, line, ImageRecord::default),
            Err(_) => {
                out.invalid(number, "no UTF-8");
                ControlFlow::Continue(())
            }
        })
    })
}

/// Reads one JSON object or string a line. Where the column is not named, each object is asked by
/// itself: files put together from several sources do not agree on it.
pub(super) fn read_json(out: &mut Out<'_>, wanted: Option<&str>) -> Result<()> {
    let mut any_prompt = false;
    let mut without: Option<Vec<String>> = None;
    for_each_line(out, |out, number, line| {
        if line.trim_ascii().is_empty() {
            out.empty();
            return Ok(ControlFlow::Continue(()));
        }
        let why = match serde_json::from_slice(line) {
            Ok(Value::String(prompt)) => {
                any_prompt = true;
                return Ok(out.row(number, &prompt, ImageRecord::default));
            }
            Ok(Value::Object(object)) => {
                let names: Vec<&String> = object.keys().collect();
                let values: Vec<&Value> = object.values().collect();
                let value = |place: usize| values.get(place).copied().unwrap_or(&Value::Null);
                match text_place(wanted, &names, |place| !value(place).is_null()).map(value) {
                    Some(Value::String(prompt)) => {
                        any_prompt = true;
                        let image =
                            || ImageColumns::of(&names).image(|place| Cell::from(value(place)));
                        return Ok(out.row(number, prompt, image));
                    }
                    Some(_) => "the prompt is no text".to_owned(),
                    None => {
                        any_prompt |= text_place(wanted, &names, |_| true).is_some();
                        without.get_or_insert_with(|| names.into_iter().cloned().collect());
                        out.empty();
                        return Ok(ControlFlow::Continue(()));
                    }
                }
            }
            Ok(_) => "neither an object nor a string".to_owned(),
            Err(error) => format!("broken JSON at column {}", error.column()),
        };
        out.invalid(number, why);
        Ok(ControlFlow::Continue(()))
    })?;
    match without {
        Some(names) if !any_prompt => Err(missing_column(out.path, wanted, &names)),
        _ => Ok(()),
    }
}

/// Gives `each` every line of bounded length without its end, with its number from 1.
fn for_each_line(
    out: &mut Out<'_>,
    mut each: impl FnMut(&mut Out<'_>, u64, &[u8]) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let path = out.path;
    let failed = |error| Error::io("read", path)(error);
    let mut reader = open_text(path)?;
    let mut line = Vec::new();
    let mut number = 0;
    while !out.is_full() {
        line.clear();
        let whole = read_line(&mut reader, &mut line).map_err(failed)?;
        if line.is_empty() {
            break;
        }
        number += 1;
        if !whole {
            out.invalid(number, "the line is longer than 8 MiB");
            continue;
        }
        let content = line.strip_suffix(b"\n").unwrap_or(&line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        let mark = if number == 1 { BYTE_ORDER_MARK } else { b"" };
        let content = content.strip_prefix(mark).unwrap_or(content);
        if each(out, number, content)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Reads the next line with its end into `line`; of one too long the rest is passed over, and the
/// answer is `false`.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    reader
        .by_ref()
        .take(MAX_LINE_BYTES)
        .read_until(b'\n', line)?;
    if line.ends_with(b"\n") || (line.len() as u64) < MAX_LINE_BYTES {
        return Ok(true);
    }
    Ok(reader.skip_until(b'\n')? == 0)
}
