//! `metadata.parquet`: a row an image, with DiffusionDB's columns in their types.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt8Array,
    UInt16Array, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::draw::Draw;
use crate::data::samplers;
use crate::error::{Error, Result};
use crate::files::write_atomically;

/// What all images of a table share.
pub(super) struct Common<'a> {
    /// Width and height of the images in pixels.
    pub(super) side: u16,
    /// Who made them. DiffusionDB has the SHA-256 of a user's name here; this is the model's.
    pub(super) user_name: &'a str,
}

/// Writes the table of `parts`, which are numbered from 1, whole or not at all.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written.
pub(super) fn write<'a>(
    path: &Path,
    parts: impl Iterator<Item = (u16, &'a [Draw])>,
    common: &Common<'_>,
) -> Result<()> {
    let bytes = table(parts, common).map_err(|source| Error::ParquetWrite {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    write_atomically(path, &bytes)
}

fn table<'a>(
    parts: impl Iterator<Item = (u16, &'a [Draw])>,
    common: &Common<'_>,
) -> std::result::Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let schema = Arc::new(schema());
    let mut writer = ArrowWriter::try_new(vec![], schema.clone(), Some(properties))?;
    for (number, draws) in parts {
        let columns = columns(number, draws, common);
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    writer.into_inner()
}

fn schema() -> Schema {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let fields = [
        ("image_name", DataType::Utf8),
        ("prompt", DataType::Utf8),
        ("part_id", DataType::UInt16),
        ("seed", DataType::UInt32),
        ("step", DataType::UInt16),
        ("cfg", DataType::Float32),
        ("sampler", DataType::UInt8),
        ("width", DataType::UInt16),
        ("height", DataType::UInt16),
        ("user_name", DataType::Utf8),
        ("timestamp", time),
        ("image_nsfw", DataType::Float32),
        ("prompt_nsfw", DataType::Float32),
    ];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
    Schema::new(fields.to_vec())
}

/// In the order of [`schema`].
fn columns(number: u16, draws: &[Draw], common: &Common<'_>) -> Vec<ArrayRef> {
    let text = |value: fn(&Draw) -> &str| -> ArrayRef {
        Arc::new(
            draws
                .iter()
                .map(|draw| Some(value(draw)))
                .collect::<StringArray>(),
        )
    };
    let same = |value: u16| -> ArrayRef { Arc::new(UInt16Array::from_value(value, draws.len())) };
    let none = || -> ArrayRef { Arc::new(Float32Array::from_value(0.0, draws.len())) };
    let times = draws.iter().map(|draw| draw.timestamp_s * 1_000_000_000);
    let samplers = draws
        .iter()
        .map(|draw| samplers::number(draw.sampler.name()));
    vec![
        text(|draw| &draw.image_name),
        text(|draw| &draw.prompt),
        same(number),
        Arc::new(UInt32Array::from_iter_values(
            draws.iter().map(|draw| draw.seed),
        )),
        Arc::new(UInt16Array::from_iter_values(
            draws.iter().map(|draw| draw.steps),
        )),
        Arc::new(Float32Array::from_iter_values(
            draws.iter().map(|draw| draw.guidance),
        )),
        Arc::new(UInt8Array::from_iter_values(samplers)),
        same(common.side),
        same(common.side),
        Arc::new(StringArray::from(vec![common.user_name; draws.len()])),
        Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC")),
        none(),
        none(),
    ]
}
