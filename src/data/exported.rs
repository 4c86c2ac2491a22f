//! Parquet files that `index export` wrote: a row a prompt, with its vector and a list of images.

use std::fs::File;
use std::result::Result as StdResult;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field};
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

/// Whether the file is such a one, by its columns: other tools that write it again lose the key.
pub(super) fn is_exported(file: &ParquetRecordBatchReaderBuilder<File>) -> bool {
    let schema = file.schema();
    let images = schema
        .field_with_name(IMAGES)
        .map(|field| field.data_type());
    let named = |item: &Field| match item.data_type() {
        DataType::Struct(fields) => fields.find("image_name").is_some(),
        _ => false,
    };
    schema.field_with_name(PROMPT).is_ok()
        && matches!(images, Ok(DataType::List(item)) if named(item))
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
        if let (Some(expected), Some(found)) = (dim, batch.dim())
            && expected != found
        {
            return Err(Error::VectorDim {
                path: path.to_owned(),
                found,
                expected,
                holder: "the index holds",
            });
        }
        for (row, number) in (0..batch.images.len()).zip(first_row..) {
            if out.is_full() {
                return Ok(());
            }
            batch.row(out, row, number);
        }
        first_row += batch.images.len() as u64;
    }
}

/// The columns of a batch.
struct Batch {
    prompts: Values,
    /// Lists of f32 of one size; another tool may have left them out.
    vectors: Option<ArrayRef>,
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
        let of_f32 = |column: &ArrayRef| {
            let list = column.as_fixed_size_list_opt();
            list.is_some_and(|list| list.values().as_primitive_opt::<Float32Type>().is_some())
        };
        let vectors = column(VECTOR).ok();
        if vectors.as_ref().is_some_and(|vectors| !of_f32(vectors)) {
            return Err(wrong(VECTOR, "lists of f32 of one size"));
        }
        Ok(Self {
            prompts: Values::of(&column(PROMPT)?)?,
            image_columns: ImageColumns::of(&structs.column_names()),
            columns: columns.collect::<StdResult<_, _>>()?,
            vectors,
            images,
        })
    }

    /// Numbers in a vector, if there are vectors.
    fn dim(&self) -> Option<usize> {
        let vectors = self.vectors.as_ref()?;
        Some(vectors.as_fixed_size_list().value_length() as usize)
    }

    fn row(&self, out: &mut Out<'_>, row: usize, number: u64) {
        let Cell::Text(prompt) = self.prompts.cell(row) else {
            return out.empty();
        };
        let vector = self.vectors.as_ref().map(|vectors| {
            let row = vectors.as_fixed_size_list().value(row);
            let values = row.as_primitive::<Float32Type>().values();
            unit(
                &values
                    .iter()
                    .map(|&value| value.into())
                    .collect::<Vec<f64>>(),
            )
        });
        let vector = match vector.transpose() {
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
            if out
                .row_with_vector(number, prompt, vector.clone(), record)
                .is_break()
            {
                return;
            }
        }
    }
}
