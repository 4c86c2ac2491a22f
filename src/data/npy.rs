//! Rows of numbers out of a NumPy file (`.npy`, format versions 1 to 3 of NEP 1), one at a time.
//!
//! Two-dimensional arrays of floating-point numbers in C order and little endian are read, which is
//! what embeddings are written as. The rows are unit vectors in f32.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::result::Result as StdResult;

use half::f16;

use crate::error::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header, in bytes; NumPy's own limit for what it trusts is 10 000.
const MAX_HEADER_BYTES: u64 = 1 << 16;

/// The longest vector, in numbers.
const MAX_DIM: usize = 1 << 16;

/// How far from 1 the length of a vector may lie: rounding to f16 moves it by 0.05% at most.
const MAX_LENGTH_ERROR: f64 = 0.01;

/// Types of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Float {
    F16,
    F32,
    F64,
}

impl Float {
    fn size_bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// A file of vectors, opened.
#[derive(Debug)]
pub(super) struct Npy {
    path: PathBuf,
    reader: BufReader<File>,
    float: Float,
    rows: u64,
    dim: usize,
    row: Vec<u8>,
}

impl Npy {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// [`Error::Npy`] if it is no such array or not of the size that its header tells.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("read", path)(error);
        let wrong = |why| Error::Npy {
            path: path.to_owned(),
            why,
        };
        let file = File::open(path).map_err(failed)?;
        let len_bytes = file.metadata().map_err(failed)?.len();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let (header, header_bytes) = read_header(&mut reader)
            .map_err(failed)?
            .ok_or_else(|| wrong("it has no header of a NumPy file".to_owned()))?;
        let (float, rows, dim) = parse_header(&header).map_err(wrong)?;
        let row_bytes = dim * float.size_bytes();
        let expected = rows
            .checked_mul(row_bytes as u64)
            .and_then(|bytes| bytes.checked_add(header_bytes));
        if expected != Some(len_bytes) {
            return Err(wrong(format!(
                "it has {len_bytes} bytes, and {rows} vectors of {dim} numbers make another size: \
                 is it whole?"
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            reader,
            float,
            rows,
            dim,
            row: vec![0; row_bytes],
        })
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many vectors there are.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many numbers a vector has.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// The next vector, made a unit vector; or why it is none.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no more to read.
    pub(super) fn next_row(&mut self) -> Result<StdResult<Vec<f32>, String>> {
        let failed = Error::io("read", &self.path);
        self.reader.read_exact(&mut self.row).map_err(failed)?;
        let values: Vec<f64> = match self.float {
            Float::F16 => numbers(&self.row, |bytes| f16::from_le_bytes(bytes).to_f64()),
            Float::F32 => numbers(&self.row, |bytes| f32::from_le_bytes(bytes).into()),
            Float::F64 => numbers(&self.row, f64::from_le_bytes),
        };
        Ok(unit(&values))
    }
}

/// The numbers whose bytes stand in `row`.
fn numbers<const N: usize>(row: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    row.as_chunks()
        .0
        .iter()
        .map(|&bytes| number(bytes))
        .collect()
}

/// `values` as a unit vector if they nearly are one; as they are, if they are one to the precision
/// of f32.
pub(super) fn unit(values: &[f64]) -> StdResult<Vec<f32>, String> {
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    if values.iter().any(|value| !value.is_finite()) {
        Err("its vector holds a value that is no number".to_owned())
    } else if length == 0.0 {
        Err("its vector is zero".to_owned())
    } else if (length - 1.0).abs() > MAX_LENGTH_ERROR {
        Err(format!("its vector has the length {length:.3}, not 1"))
    } else {
        let exact = (length - 1.0).abs() <= f64::from(f32::EPSILON);
        let length = if exact { 1.0 } else { length };
        Ok(values.iter().map(|value| (value / length) as f32).collect())
    }
}

/// The text of the header and the number of bytes before the first row; `None` if there is none.
fn read_header(reader: &mut impl Read) -> std::io::Result<Option<(String, u64)>> {
    let mut front = Vec::new();
    reader.by_ref().take(10).read_to_end(&mut front)?;
    let (len_bytes, front_bytes) = match (front.strip_prefix(MAGIC), front.as_slice()) {
        (Some([1, _, low, high]), _) => (u64::from(u16::from_le_bytes([*low, *high])), 10),
        (Some([2 | 3, _, a, b]), _) => {
            let mut high = Vec::new();
            reader.by_ref().take(2).read_to_end(&mut high)?;
            let [c, d] = high.as_slice() else {
                return Ok(None);
            };
            (u64::from(u32::from_le_bytes([*a, *b, *c, *d])), 12)
        }
        _ => return Ok(None),
    };
    if len_bytes > MAX_HEADER_BYTES {
        return Ok(None);
    }
    let mut header = Vec::new();
    reader.by_ref().take(len_bytes).read_to_end(&mut header)?;
    let whole = header.len() as u64 == len_bytes;
    let header = String::from_utf8(header).ok().filter(|_| whole);
    Ok(header.map(|header| (header, front_bytes + len_bytes)))
}

/// Type, rows and columns out of the header, which is a Python dictionary such as
/// `{'descr': '<f2', 'fortran_order': False, 'shape': (10, 512), }`.
fn parse_header(header: &str) -> StdResult<(Float, u64, usize), String> {
    let value = |key: &str| {
        let after = header.split_once(&format!("'{key}':"))?.1;
        Some(after.trim_start())
    };
    let broken = || format!("its header is {:?}", header.trim());
    let descr = value("descr")
        .and_then(|value| value.strip_prefix('\'')?.split_once('\''))
        .ok_or_else(broken)?
        .0;
    let float = match descr {
        "<f2" => Float::F16,
        "<f4" => Float::F32,
        "<f8" => Float::F64,
        other => {
            return Err(format!(
                "its numbers are {other:?}, and only <f2, <f4 and <f8 are read"
            ));
        }
    };
    let order = value("fortran_order").ok_or_else(broken)?;
    if !order.starts_with("False") {
        return Err("it is in Fortran order: save it with numpy.ascontiguousarray".to_owned());
    }
    let shape = value("shape")
        .and_then(|value| value.strip_prefix('(')?.split_once(')'))
        .ok_or_else(broken)?
        .0;
    // Python 2 wrote an L after a number.
    let sides = shape
        .split(',')
        .map(|side| side.trim().trim_end_matches('L'));
    let sides: Option<Vec<u64>> = sides
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().ok())
        .collect();
    match sides.ok_or_else(broken)?.as_slice() {
        &[rows, dim] => match usize::try_from(dim) {
            Ok(dim @ 1..=MAX_DIM) => Ok((float, rows, dim)),
            _ => Err(format!(
                "its vectors have {dim} numbers, where 1 to {MAX_DIM} are read"
            )),
        },
        _ => Err(format!("its shape is ({shape}), and not (rows, columns)")),
    }
}
