//! One part: a zip file of images as PNG, and the JSON object that describes them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Write};
use std::path::Path;

use image::{ImageFormat, RgbImage};
use serde::{Serialize, Serializer};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use super::draw::Draw;
use crate::error::{Error, Result};
use crate::files::write_atomically;

/// The name of a part, of its JSON and, with another ending, of its file.
pub(super) fn name(number: u16) -> String {
    format!("part-{number:06}")
}

/// Whether the file at `path` is the part of `draws`, by its directory, which stands at the end.
pub(super) fn is_whole(path: &Path, draws: &[Draw]) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let Ok(archive) = ZipArchive::new(BufReader::new(file)) else {
        return false;
    };
    let names: HashSet<_> = archive.file_names().flatten().collect();
    names.len() == draws.len() + 1
        && draws
            .iter()
            .all(|draw| names.contains(draw.image_name.as_str()))
}

/// Writes a part, whole or not at all.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written.
pub(super) fn write(path: &Path, number: u16, draws: &[Draw], images: &[RgbImage]) -> Result<()> {
    let bytes = zipped(number, draws, images).map_err(Error::io("write", path))?;
    write_atomically(path, &bytes)
}

fn zipped(number: u16, draws: &[Draw], images: &[RgbImage]) -> io::Result<Vec<u8>> {
    // PNG is compressed already. What the clock and the platform would decide is fixed, so that equal
    // images give equal bytes.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o644)
        .system(System::Unix);
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    for (draw, image) in draws.iter().zip(images) {
        let mut png = Cursor::new(vec![]);
        image
            .write_to(&mut png, ImageFormat::Png)
            .map_err(io::Error::other)?;
        zip.start_file(draw.image_name.as_str(), options)?;
        zip.write_all(png.get_ref())?;
    }
    zip.start_file(format!("{}.json", name(number)), options)?;
    zip.write_all(&serde_json::to_vec(&Entries(draws))?)?;
    Ok(zip.finish()?.into_inner())
}

/// The JSON object of a part, in the order of its images.
struct Entries<'a>(&'a [Draw]);

/// What the object says about an image.
#[derive(Serialize)]
struct Entry<'a> {
    /// Prompt.
    p: &'a str,
    /// Seed.
    se: u32,
    /// Guidance.
    c: f32,
    /// Steps.
    st: u16,
    /// Sampler.
    sa: &'static str,
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|draw| {
            let entry = Entry {
                p: &draw.prompt,
                se: draw.seed,
                c: draw.guidance,
                st: draw.steps,
                sa: draw.sampler.name(),
            };
            (&draw.image_name, entry)
        }))
    }
}
