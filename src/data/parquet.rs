//! Parquet files, such as DiffusionDB's `metadata.parquet`: only the columns that are needed, a
//! batch of rows at a time, whatever types the file keeps them in.

use std::fs::File;
use std::result::Result as StdResult;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, LargeStringArray, RecordBatch, RecordBatchReader,
    UInt64Array,
};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use unprompt_index::catch_panic;

use super::cell::Cell;
use super::columns::{ImageColumns, text_column};
use super::exported;
use super::npy::Npy;
use super::out::Out;
use super::read::ReadOptions;
use crate::error::{Error, Result};

/// Rows that are in memory at a time.
pub(super) const BATCH_ROWS: usize = 1024;

/// Reads a Parquet file; each of its rows has the row of `vectors` with its number.
pub(super) fn read(
    out: &mut Out<'_>,
    options: &ReadOptions,
    mut vectors: Option<Npy>,
) -> Result<()> {
    let path = out.path;
    let damaged = |source| Error::Parquet {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(Error::io("read", path))?;
    let builder =
        guarded(|| Ok(ParquetRecordBatchReaderBuilder::try_new(file)?)).map_err(damaged)?;
    if let Some(vectors) = &vectors {
        let rows = builder.metadata().file_metadata().num_rows();
        if u64::try_from(rows) != Ok(vectors.rows()) {
            return Err(Error::VectorCount {
                path: vectors.path().to_owned(),
                vectors: vectors.rows(),
                metadata: path.to_owned(),
                rows,
            });
        }
    }
    if vectors.is_none() && exported::is_exported(&builder) {
        return exported::read(out, builder, options.dim);
    }
    let wanted = options.text_column.as_deref();
    let roots = builder.parquet_schema().root_schema().get_fields();
    let names: Vec<&str> = roots.iter().map(|field| field.name()).collect();
    let text_place = text_column(path, wanted, &names)?;
    let text_name = names.get(text_place).map_or("", |name| name).to_owned();
    let image_columns = ImageColumns::of(&names);
    let needed = image_columns.places().chain([text_place]);
    let mask = ProjectionMask::roots(builder.parquet_schema(), needed);
    let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    let mut batches = guarded(|| Ok(builder.build()?)).map_err(damaged)?;
    let schema = batches.schema();
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let text_place = text_column(path, Some(&text_name), &names)?;
    let image_columns = ImageColumns::of(&names);

    let mut first_row = 1;
    loop {
        let next = || Ok(batches.next().transpose()?.map(with_columns).transpose()?);
        let Some((batch, columns)) = guarded(next).map_err(damaged)? else {
            return Ok(());
        };
        let Some(Values::Text(prompts)) = columns.get(text_place) else {
            return Err(Error::TextColumn {
                path: path.to_owned(),
                found: schema.field(text_place).data_type().to_string(),
                column: text_name,
            });
        };
        let stored = batch.columns().get(text_place);
        for (row, number) in (0..batch.num_rows()).zip(first_row..) {
            if out.is_full() {
                return Ok(());
            }
            // Read even for a row without a prompt, for the next one's to be the next.
            let vector = vectors.as_mut().map(Npy::next_row).transpose()?;
            if prompts.is_null(row) {
                if stored.is_some_and(|stored| stored.is_valid(row)) {
                    out.invalid(number, "no UTF-8");
                } else {
                    out.empty();
                }
                continue;
            }
            let cell = |place: usize| columns.get(place).map_or(Cell::None, |c| c.cell(row));
            let image = || image_columns.image(cell);
            let vector = match vector.transpose() {
                Ok(vector) => vector,
                Err(why) => {
                    out.invalid(number, why);
                    continue;
                }
            };
            let prompt = prompts.value(row);
            if out
                .row_with_vector(number, prompt, vector, image)
                .is_break()
            {
                return Ok(());
            }
        }
        first_row += batch.num_rows() as u64;
    }
}

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs a step of the Parquet reader, which panics on some damaged files: it trusts the lengths and
/// counts that stand in their pages. What the step was working on is not used again.
pub(super) fn guarded<T>(step: impl FnOnce() -> StdResult<T, Failure>) -> StdResult<T, Failure> {
    catch_panic(step).unwrap_or_else(|| Err("a page of it makes no sense".into()))
}

/// A batch with its columns in few types.
fn with_columns(batch: RecordBatch) -> StdResult<(RecordBatch, Vec<Values>), ArrowError> {
    let columns: StdResult<_, _> = batch.columns().iter().map(Values::of).collect();
    Ok((batch, columns?))
}

/// A column in one of few types.
pub(super) enum Values {
    Text(LargeStringArray),
    Unsigned(UInt64Array),
    Signed(Int64Array),
    Float(Float64Array),
    /// A type that holds nothing of interest.
    Other,
}

impl Values {
    pub(super) fn of(array: &ArrayRef) -> StdResult<Self, ArrowError> {
        let data_type = match array.data_type() {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        Ok(match data_type {
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView => {
                Self::Text(cast(array, &DataType::LargeUtf8)?.as_string().clone())
            }
            unsigned if unsigned.is_unsigned_integer() => Self::Unsigned(
                cast(array, &DataType::UInt64)?
                    .as_primitive::<UInt64Type>()
                    .clone(),
            ),
            signed if signed.is_signed_integer() => Self::Signed(
                cast(array, &DataType::Int64)?
                    .as_primitive::<Int64Type>()
                    .clone(),
            ),
            float if float.is_floating() || float.is_decimal() => Self::Float(
                cast(array, &DataType::Float64)?
                    .as_primitive::<Float64Type>()
                    .clone(),
            ),
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
                let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
                let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
                let zoned = matches!(data_type, DataType::Timestamp(_, Some(_)));
                let millis = cast(array, if zoned { &utc } else { &millis })?;
                let millis = millis.as_primitive::<TimestampMillisecondType>();
                Self::Signed(millis.reinterpret_cast::<Int64Type>())
            }
            _ => Self::Other,
        })
    }

    pub(super) fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Text(values) if values.is_valid(row) => Cell::Text(values.value(row)),
            Self::Unsigned(values) if values.is_valid(row) => Cell::Unsigned(values.value(row)),
            Self::Signed(values) if values.is_valid(row) => Cell::Signed(values.value(row)),
            Self::Float(values) if values.is_valid(row) => Cell::Float(values.value(row)),
            _ => Cell::None,
        }
    }
}
