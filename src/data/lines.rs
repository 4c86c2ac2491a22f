//! Files of lines: one prompt a line, or one JSON value a line (JSON Lines).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::columns::{Cell, ImageColumns, text_column};
use super::read::Out;
use crate::error::{Error, Result};

/// The longest line, in bytes: room for the longest prompt with every character escaped.
const MAX_LINE_BYTES: u64 = 8 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads one prompt a line.
pub(super) fn read_text(out: &mut Out<'_>) -> Result<()> {
    for_each_line(out, |out, number, line| {
        Ok(match std::str::from_utf8(line) {
            Ok(line) => out.row(number, line, || None),
            Err(_) => {
                out.invalid(number, "no UTF-8");
                ControlFlow::Continue(())
            }
        })
    })
}

/// Reads one JSON object or string a line. The first object tells the column of prompts.
pub(super) fn read_json(out: &mut Out<'_>, wanted: Option<&str>) -> Result<()> {
    let mut column: Option<String> = None;
    for_each_line(out, |out, number, line| {
        if line.trim_ascii().is_empty() {
            out.empty();
            return Ok(ControlFlow::Continue(()));
        }
        let why = match serde_json::from_slice(line) {
            Ok(Value::String(prompt)) => return Ok(out.row(number, &prompt, || None)),
            Ok(Value::Object(object)) => {
                let column = match &column {
                    Some(column) => column,
                    None => {
                        let names: Vec<&String> = object.keys().collect();
                        let place = text_column(out.path, wanted, &names)?;
                        column.insert(names.get(place).map_or("", |name| name).to_owned())
                    }
                };
                match object.get(column) {
                    Some(Value::String(prompt)) => {
                        return Ok(out.row(number, prompt, || {
                            let names: Vec<&String> = object.keys().collect();
                            ImageColumns::of(&names).image(|place| cell(&object, names.get(place)))
                        }));
                    }
                    Some(Value::Null) | None => {
                        out.empty();
                        return Ok(ControlFlow::Continue(()));
                    }
                    Some(_) => format!("{column:?} holds no text"),
                }
            }
            Ok(_) => "neither an object nor a string".to_owned(),
            Err(error) => format!("broken JSON at column {}", error.column()),
        };
        out.invalid(number, why);
        Ok(ControlFlow::Continue(()))
    })
}

fn cell<'a>(object: &'a Map<String, Value>, name: Option<&&String>) -> Cell<'a> {
    match name.and_then(|name| object.get(*name)) {
        Some(Value::String(text)) => Cell::Text(text),
        Some(Value::Number(number)) => {
            let unsigned = number.as_u64().map(Cell::Unsigned);
            let signed = || number.as_i64().map(Cell::Signed);
            let float = || number.as_f64().map(Cell::Float);
            unsigned
                .or_else(signed)
                .or_else(float)
                .unwrap_or(Cell::None)
        }
        _ => Cell::None,
    }
}

/// Gives `each` every line of bounded length without its end, with its number from 1.
fn for_each_line(
    out: &mut Out<'_>,
    mut each: impl FnMut(&mut Out<'_>, u64, &[u8]) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let path = out.path;
    let failed = |error| Error::io("read", path)(error);
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
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
