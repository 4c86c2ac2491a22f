//! An index as a Parquet file, for other tools: a row a prompt, with its vector and its images.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMillisecondArray, UInt32Array, UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use unprompt_index::{EntryId, ImageRecord, Index};

use crate::data::exported::{IMAGES, PROMPT, VECTOR};
use crate::error::{Error, Result};
use crate::files;

/// Key in the file's metadata; the value names the encoder of the vectors, for who reads them.
const ENCODER_KEY: &str = "unprompt.encoder";

/// Prompts that are in memory at a time.
const BATCH: usize = 1024;

/// Writes the prompts of `index` that are not deleted to the file `path`, replacing it, with the columns `id`
/// (32 hexadecimal digits), `prompt`, `vector` (a list of f32 of fixed size) and `images` (a list of
/// structs with the fields of [`ImageRecord`]). The file names the encoder in its metadata, and is a
/// source to build from without embedding anything.
///
/// It appears when it is whole; `observe` is told how many prompts are written and may ask to stop.
///
/// # Errors
/// [`Error::Cancelled`] on request, [`Error::Io`], [`Error::Parquet`], and what the index reports.
pub fn export(
    index: &Index,
    path: &Path,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<()> {
    let unfinished = files::unfinished(path)?;
    let written = unfinished.reopen().map_err(Error::io("write", path))?;
    write(index, written, observe).map_err(|error| match error {
        Failure::Index(error) => error,
        Failure::Parquet(source) => Error::ParquetWrite {
            path: path.to_owned(),
            source: Box::new(source),
        },
    })?;
    files::put(unfinished, path)
}

enum Failure {
    Index(Error),
    Parquet(parquet::errors::ParquetError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Index(error)
    }
}

impl From<unprompt_index::Error> for Failure {
    fn from(error: unprompt_index::Error) -> Self {
        Self::Index(error.into())
    }
}

impl From<parquet::errors::ParquetError> for Failure {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Parquet(error)
    }
}

impl From<arrow_schema::ArrowError> for Failure {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Parquet(error.into())
    }
}

fn write(
    index: &Index,
    file: File,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> std::result::Result<(), Failure> {
    let encoder = index.encoder();
    let name = format!("{} {}", encoder.name, encoder.digest);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(vec![KeyValue::new(ENCODER_KEY.to_owned(), name)]))
        .build();
    let schema = Arc::new(schema(encoder.dim));
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
    let entries: Vec<EntryId> = index.entries().collect();
    let mut done = 0;
    for entries in entries.chunks(BATCH) {
        if observe(done).is_break() {
            return Err(Error::Cancelled.into());
        }
        writer.write(&batch(index, entries, &schema)?)?;
        done += entries.len();
    }
    writer.close()?;
    Ok(())
}

fn schema(dim: usize) -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new(PROMPT, DataType::Utf8, false),
        Field::new(VECTOR, vector_type(dim), false),
        Field::new(IMAGES, DataType::List(image_item()), false),
    ])
}

fn vector_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

fn vector_type(dim: usize) -> DataType {
    DataType::FixedSizeList(vector_item(), dim as i32)
}

fn image_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(image_fields()), false))
}

fn image_fields() -> Fields {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    [
        ("image_name", DataType::Utf8),
        ("part_id", DataType::UInt32),
        ("seed", DataType::UInt64),
        ("step", DataType::UInt32),
        ("cfg", DataType::Float32),
        ("sampler", DataType::Utf8),
        ("width", DataType::UInt32),
        ("height", DataType::UInt32),
        ("image_nsfw", DataType::Float32),
        ("prompt_nsfw", DataType::Float32),
        ("timestamp", time),
        ("model", DataType::Utf8),
        ("generator", DataType::Utf8),
        ("file_size", DataType::UInt64),
        ("predicted", DataType::Float32),
    ]
    .into_iter()
    .map(|(name, data_type)| Field::new(name, data_type, name != "image_name"))
    .collect()
}

fn batch(
    index: &Index,
    entries: &[EntryId],
    schema: &Arc<Schema>,
) -> std::result::Result<RecordBatch, Failure> {
    let dim = index.encoder().dim;
    let (mut ids, mut prompts, mut images) = (Vec::new(), Vec::new(), Vec::new());
    let mut values = Vec::with_capacity(entries.len() * dim);
    let mut counts = Vec::with_capacity(entries.len());
    for &entry in entries {
        let (id, vector) = index.checked_vector(entry)?;
        ids.push(id.to_string());
        prompts.push(index.prompt(entry)?);
        values.extend(vector);
        let (of_prompt, count) = index.images(entry, None, usize::MAX)?;
        counts.push(count);
        images.extend(of_prompt);
    }
    let values = Arc::new(Float32Array::from(values));
    let vectors = FixedSizeListArray::try_new(vector_item(), dim as i32, values, None)?;
    let images = ListArray::try_new(
        image_item(),
        OffsetBuffer::from_lengths(counts),
        Arc::new(image_columns(&images)?),
        None,
    )?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(ids)),
        Arc::new(StringArray::from(prompts)),
        Arc::new(vectors),
        Arc::new(images),
    ];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// In the order of [`image_fields`].
fn image_columns(images: &[ImageRecord]) -> std::result::Result<StructArray, Failure> {
    let whole = |value: fn(&ImageRecord) -> Option<u32>| -> ArrayRef {
        Arc::new(images.iter().map(value).collect::<UInt32Array>())
    };
    let real = |value: fn(&ImageRecord) -> Option<f32>| -> ArrayRef {
        Arc::new(images.iter().map(value).collect::<Float32Array>())
    };
    let large = |value: fn(&ImageRecord) -> Option<u64>| -> ArrayRef {
        Arc::new(images.iter().map(value).collect::<UInt64Array>())
    };
    let text = |value: fn(&ImageRecord) -> Option<&str>| -> ArrayRef {
        Arc::new(images.iter().map(value).collect::<StringArray>())
    };
    let times: TimestampMillisecondArray = images.iter().map(|image| image.timestamp).collect();
    let columns: Vec<ArrayRef> = vec![
        text(|image| Some(&image.image_name)),
        whole(|image| image.part_id),
        large(|image| image.seed),
        whole(|image| image.step),
        real(|image| image.cfg),
        text(|image| image.sampler.as_deref()),
        whole(|image| image.width),
        whole(|image| image.height),
        real(|image| image.image_nsfw),
        real(|image| image.prompt_nsfw),
        Arc::new(times.with_timezone("UTC")),
        text(|image| image.model.as_deref()),
        text(|image| image.generator.as_deref()),
        large(|image| image.file_size),
        real(|image| image.predicted),
    ];
    Ok(StructArray::try_new(image_fields(), columns, None)?)
}
