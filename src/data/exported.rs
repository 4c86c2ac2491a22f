//! Parquet files that `index export` wrote: a row a prompt, with its vector and a list of images.

use std::fs::File;
use std::ops::Range;
use std::result::Result as StdResult;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use unprompt_index::ImageRecord;

use super::cell::Cell;
use super::columns::ImageColumns;
use super::lists::Lists;
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
    let is_record = |item: &Field| match item.data_type() {
        DataType::Struct(fields) => fields.find("image_name").is_some(),
        _ => false,
    };
    schema.field_with_name(PROMPT).is_ok()
        && matches!(images, Ok(DataType::List(item) | DataType::LargeList(item)) if is_record(item))
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
    let mut length = None;
    loop {
        let next = || Ok(batches.next().transpose()?.map(Batch::of).transpose()?);
        let Some(batch) = guarded(next).map_err(damaged)? else {
            return Ok(());
        };
        if length.is_none() {
            length = batch.dim();
            if let (Some(expected), Some(found)) = (dim, length)
                && expected != found
            {
                return Err(Error::VectorDim {
                    path: path.to_owned(),
                    found,
                    expected,
                    holder: "the index holds",
                });
            }
        }
        for (row, number) in (0..batch.rows).zip(first_row..) {
            if out.is_full() {
                return Ok(());
            }
            batch.row(out, row, number, length);
        }
        first_row += batch.rows as u64;
    }
}

/// The columns of a batch.
struct Batch {
    rows: usize,
    prompts: Values,
    /// Lists of f32; another tool may have left them out.
    vectors: Option<Lists>,
    images: Lists,
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
        let images = Lists::of(column(IMAGES)?);
        let images = images.ok_or_else(|| wrong(IMAGES, "lists"))?;
        let structs = images.values.as_struct_opt();
        let structs = structs.ok_or_else(|| wrong(IMAGES, "lists of structs"))?;
        let columns = structs.columns().iter().map(Values::of);
        let vectors = column(VECTOR).ok().map(|column| {
            let mut lists = Lists::of(column).ok_or_else(|| wrong(VECTOR, "lists"))?;
            lists.values = cast(&lists.values, &DataType::Float32)?;
            Ok::<_, ArrowError>(lists)
        });
        Ok(Self {
            prompts: Values::of(&column(PROMPT)?)?,
            image_columns: ImageColumns::of(&structs.column_names()),
            columns: columns.collect::<StdResult<_, _>>()?,
            vectors: vectors.transpose()?,
            rows: batch.num_rows(),
            images,
        })
    }

    /// Numbers in the first vector, if there is one.
    fn dim(&self) -> Option<usize> {
        let vectors = self.vectors.as_ref()?;
        let first = (0..self.rows).find_map(|row| vectors.row(row))?;
        Some(first.len())
    }

    /// The vector of a row, if it has one.
    fn vector(&self, row: usize, length: Option<usize>) -> StdResult<Option<Vec<f32>>, String> {
        let Some(vectors) = &self.vectors else {
            return Ok(None);
        };
        let Some(own) = vectors.row(row) else {
            return Ok(None);
        };
        if let Some(expected) = length.filter(|it| *it != own.len()) {
            let found = own.len();
            return Err(format!("its vector has {found} numbers, not {expected}"));
        }
        let values = vectors.values.as_primitive::<Float32Type>();
        if own.clone().any(|at| values.is_null(at)) {
            return Err("its vector holds a value that is no number".to_owned());
        }
        let values: Vec<f64> = values.values()[own].iter().map(|&it| it.into()).collect();
        unit(&values).map(Some)
    }

    /// Gives a row out, whose vector is to have `length` numbers.
    fn row(&self, out: &mut Out<'_>, row: usize, number: u64, length: Option<usize>) {
        let Cell::Text(prompt) = self.prompts.cell(row) else {
            return out.empty();
        };
        let vector = match self.vector(row, length) {
            Ok(vector) => vector,
            Err(why) => return out.invalid(number, why),
        };
        let Range { start, end } = self.images.row(row).unwrap_or_default();
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
