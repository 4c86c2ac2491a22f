//! Parquet files that `index export` wrote: a row a prompt, with its vector and a list of images.

use std::fs::File;
use std::result::Result as StdResult;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use unprompt_index::ImageRecord;

use super::cell::Cell;
use super::columns::ImageColumns;
use super::npy::unit;
use super::out::Out;
use super::parquet::{BATCH_ROWS, Values, guarded};
use crate::error::{Error, Result};

/// Columns of such a file, beside `id`.
pub(crate) const PROMPT: &str = "prompt";
pub(crate) const VECTOR: &str = "vector";
pub(crate) const IMAGES: &str = "images";
/// Key in the metadata of such a file; the value names the encoder of the vectors.
pub(crate) const ENCODER_KEY: &str = "unprompt.encoder";

/// Whether the file says that it is such a one.
pub(super) fn is_exported(file: &ParquetRecordBatchReaderBuilder<File>) -> bool {
    let pairs = file.metadata().file_metadata().key_value_metadata();
    pairs.is_some_and(|pairs| pairs.iter().any(|pair| pair.key == ENCODER_KEY))
}

/// Reads the file: a row for each image, or one for a prompt that has none.
pub(super) fn read(
    out: &mut Out<'_>,
    file: ParquetRecordBatchReaderBuilder<File>,
    dim: Option<usize>,
) -> Result<()> {
    let path = out.path;
    let damaged = |source| Error::Parquet {
        path: path.to_owned(),
        source,
    };
    let build = || Ok(file.with_batch_size(BATCH_ROWS).build()?);
    let mut batches = guarded(build).map_err(damaged)?;
    let mut first_row = 1;
    loop {
        let next = || Ok(batches.next().transpose()?.map(Batch::of).transpose()?);
        let Some(batch) = guarded(next).map_err(damaged)? else {
            return Ok(());
        };
        let found = batch.dim;
        if let Some(expected) = dim.filter(|&expected| expected != found) {
            return Err(Error::VectorDim {
                path: path.to_owned(),
                found,
                expected,
                holder: "the index holds",
            });
        }
        for (row, number) in (0..batch.vectors.len()).zip(first_row..) {
            if out.is_full() {
                return Ok(());
            }
            batch.row(out, row, number);
        }
        first_row += batch.vectors.len() as u64;
    }
}

/// The columns of a batch.
struct Batch {
    prompts: Values,
    vectors: ArrayRef,
    dim: usize,
    images: ArrayRef,
    image_columns: ImageColumns,
    columns: Vec<Values>,
}

impl Batch {
    fn of(batch: RecordBatch) -> StdResult<Self, ArrowError> {
        let wrong = |name, what| ArrowError::SchemaError(format!("{name} holds no {what}"));
        let column = |name: &str| {
            let column = batch.column_by_name(name).cloned();
            column.ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))
        };
        let images = column(IMAGES)?;
        let structs = images.as_list_opt::<i32>();
        let structs = structs.and_then(|list| list.values().as_struct_opt());
        let structs = structs.ok_or_else(|| wrong(IMAGES, "lists of structs"))?;
        let columns = structs.columns().iter().map(Values::of);
        let vectors = column(VECTOR)?;
        let numbers = vectors.as_fixed_size_list_opt();
        let numbers =
            numbers.filter(|list| list.values().as_primitive_opt::<Float32Type>().is_some());
        let dim = numbers.ok_or_else(|| wrong(VECTOR, "lists of f32 of one size"))?;
        Ok(Self {
            prompts: Values::of(&column(PROMPT)?)?,
            dim: dim.value_length() as usize,
            image_columns: ImageColumns::of(&structs.column_names()),
            columns: columns.collect::<StdResult<_, _>>()?,
            vectors,
            images,
        })
    }

    fn row(&self, out: &mut Out<'_>, row: usize, number: u64) {
        let Cell::Text(prompt) = self.prompts.cell(row) else {
            return out.empty();
        };
        let vector = self.vectors.as_fixed_size_list().value(row);
        let values = vector.as_primitive::<Float32Type>().values();
        let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        let vector = match unit(&values) {
            Ok(vector) => vector,
            Err(why) => return out.invalid(number, why),
        };
        let images = self.images.as_list::<i32>().value_offsets();
        let (start, end) = (images[row] as usize, images[row + 1] as usize);
        for image in start..end.max(start + 1) {
            let cell = |place: usize| {
                let column = self.columns.get(place).filter(|_| image < end);
                column.map_or(Cell::None, |column| column.cell(image))
            };
            let record = || -> ImageRecord { self.image_columns.image(cell) };
            let vector = Some(vector.clone());
            if out
                .row_with_vector(number, prompt, vector, record)
                .is_break()
            {
                return;
            }
        }
    }
}
