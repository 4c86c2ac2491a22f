//! One of DiffusionDB's parts: a JSON object that names a thousand images, in a folder or in a zip
//! file beside them. Of a zip file nothing but the JSON is read.

use std::cell;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::result::Result as StdResult;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::{Deserializer, Value};
use unprompt_index::ImageRecord;
use zip::ZipArchive;

use super::bounded::Bounded;
use super::cell::Cell;
use super::file::Form;
use super::out::Out;
use crate::error::{Error, Result};

/// The longest JSON of a part, in bytes: those published have 300 KB, and a zip file of no size can
/// hold any number.
const MAX_PART_BYTES: u64 = 256 << 20;

/// The most that is read of it for one image, in bytes: room for the longest prompt with every
/// character escaped.
const MAX_ENTRY_BYTES: u64 = 8 << 20;

/// The number of a part, as the name of its file tells it, such as `part-000001.json`.
pub(super) fn number(path: &Path) -> Option<u32> {
    number_of_folder(Path::new(path.file_stem()?))
}

/// The number of a part, as the name of its folder tells it, such as `part-000001`.
pub(super) fn number_of_folder(path: &Path) -> Option<u32> {
    let digits = path.file_name()?.to_str()?.strip_prefix("part-")?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// Reads the JSON of a part.
pub(super) fn read_json(out: &mut Out<'_>) -> Result<()> {
    let path = out.path;
    let file = File::open(path).map_err(Error::io("read", path))?;
    images(out, file, number(path))
}

/// Reads the parts in a zip file, which is one as published.
pub(super) fn read_zip(out: &mut Out<'_>) -> Result<()> {
    let path = out.path;
    let damaged = |source: zip::result::ZipError| Error::Part {
        path: path.to_owned(),
        source: source.into(),
    };
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let mut names: Vec<String> = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .filter(|name| is_json(Path::new(name)))
        .collect();
    let alone = names.len() == 1;
    names.retain(|name| alone || number(Path::new(name)).is_some());
    names.sort_unstable();
    if names.is_empty() {
        let path = path.to_owned();
        return Err(Error::NoPart { path });
    }
    for name in names {
        let json = archive.by_name(&name).map_err(damaged)?;
        images(out, json, number(Path::new(&name)).or(number(path)))?;
        if out.is_full() {
            break;
        }
    }
    Ok(())
}

/// Whether an entry of a zip file is a JSON file, and not one that macOS put beside it.
fn is_json(name: &Path) -> bool {
    let hidden = |name: &str| name.starts_with('.') || name.starts_with("__MACOSX");
    let mut names = name.iter().filter_map(|name| name.to_str());
    Form::of(name) == Some(Form::Part) && !names.any(hidden)
}

/// Reads the object of images that is `json`.
fn images(out: &mut Out<'_>, json: impl Read, part_id: Option<u32>) -> Result<()> {
    let path = out.path;
    let (part_left, entry_left) = (
        cell::Cell::new(MAX_PART_BYTES),
        cell::Cell::new(MAX_ENTRY_BYTES),
    );
    let json = Bounded::new(json, &part_left, "the JSON is longer than 256 MiB");
    let json = Bounded::new(json, &entry_left, "an image takes more than 8 MiB");
    let mut json = Deserializer::from_reader(BufReader::new(json));
    let images = Images {
        out,
        part_id,
        left: &entry_left,
    };
    let read = json.deserialize_map(images).and_then(|()| json.end());
    match read {
        // The rest, which nobody wants, stands where the object should have ended.
        Err(_) if out.is_full() => Ok(()),
        read => read.map_err(|source| Error::Part {
            path: path.to_owned(),
            source: source.into(),
        }),
    }
}

/// Takes the images one by one, so that there is no more than one in memory.
struct Images<'a, 'o> {
    out: &'a mut Out<'o>,
    part_id: Option<u32>,
    left: &'a cell::Cell<u64>,
}

impl<'de> Visitor<'de> for Images<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the name of an image for each key")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> StdResult<(), A::Error> {
        let mut number = 0;
        while !self.out.is_full()
            && let Some(image_name) = map.next_key()?
        {
            let image = map.next_value()?;
            self.left.set(MAX_ENTRY_BYTES);
            number += 1;
            if self.image(number, image_name, &image).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Images<'_, '_> {
    fn image(&mut self, number: u64, image_name: String, image: &Value) -> ControlFlow<()> {
        let cell = |key| image.get(key).map_or(Cell::None, Cell::from);
        match image.get("p") {
            _ if !image.is_object() => self.out.invalid(number, "the image is no object"),
            None | Some(Value::Null) => self.out.empty(),
            Some(Value::String(prompt)) => {
                return self.out.row(number, prompt, || ImageRecord {
                    image_name,
                    part_id: self.part_id,
                    seed: cell("se").to_u64(),
                    step: cell("st").to_u32(),
                    cfg: cell("c").to_f32(),
                    sampler: cell("sa").to_sampler(),
                    ..ImageRecord::default()
                });
            }
            Some(_) => self.out.invalid(number, "the prompt is no text"),
        }
        ControlFlow::Continue(())
    }
}
