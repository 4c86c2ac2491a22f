//! The file `vectors`: a row of f32, a prompt id and the row's code for every prompt, in the order
//! of their pushing.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Candidate;
use super::code::{Code, encode};
use crate::distance::{dot, dot_i8, dots_i8};
use crate::error::{Error, Result};
use crate::id::PromptId;
use crate::mmap::Mmap;
use crate::wire::{self, HeaderReader, HeaderWriter};

const LABEL: [u8; 8] = *b"unpromtV";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
const ID_LEN: usize = size_of::<PromptId>();

/// Element types of a row. Only f32 is written so far.
const ELEMENT_F32: u16 = 1;
/// Row layouts. Only rows one after the other, without gaps, are written so far.
const LAYOUT_DENSE: u16 = 1;
/// How codes are made. Only [`code`](super::code) is written so far.
const CODES_I8: u16 = 1;

/// Numbers a vector may have.
pub(crate) const MAX_DIM: usize = 1 << 16;
/// Rows a segment may have: the keyword index counts documents in 31 bits.
pub(crate) const MAX_ROWS: usize = (1 << 31) - 1;

/// Where the sections start, and where the file ends.
struct Offsets {
    rows_len: usize,
    ids: usize,
    codes: usize,
    scales: usize,
    end: usize,
}

impl Offsets {
    fn new(rows: usize, dim: usize) -> Option<Offsets> {
        let codes_len = rows.checked_mul(dim)?;
        let rows_len = codes_len.checked_mul(size_of::<f32>())?;
        let after = |start: usize, len: usize| wire::align_up(start.checked_add(len)?);
        let ids = after(HEADER_LEN, rows_len)?;
        let codes = after(ids, rows.checked_mul(ID_LEN)?)?;
        let scales = after(codes, codes_len)?;
        Some(Offsets {
            rows_len,
            ids,
            codes,
            scales,
            end: scales.checked_add(rows.checked_mul(size_of::<f32>())?)?,
        })
    }
}

/// Writes the file row by row; without [`VectorsWriter::finish`] it has no header.
pub(crate) struct VectorsWriter {
    file: BufWriter<File>,
    path: PathBuf,
    dim: usize,
    rows: usize,
}

impl VectorsWriter {
    pub(crate) fn create(path: &Path, dim: usize) -> Result<VectorsWriter> {
        let file = File::create_new(path).map_err(Error::io("create", path))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&[0; HEADER_LEN])
            .map_err(Error::io("write", path))?;
        Ok(VectorsWriter {
            file,
            path: path.to_owned(),
            dim,
            rows: 0,
        })
    }

    /// Adds a row, which must have `dim` numbers.
    pub(crate) fn push(&mut self, row: &[f32]) -> Result<()> {
        debug_assert_eq!(row.len(), self.dim);
        for value in row {
            self.file
                .write_all(&value.to_le_bytes())
                .map_err(Error::io("write", &self.path))?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Adds the id and the code of every row, and the header.
    pub(crate) fn finish(mut self, ids: &[PromptId]) -> Result<()> {
        debug_assert_eq!(ids.len(), self.rows);
        let mut header = HeaderWriter::new(LABEL, VERSION);
        header.u16(ELEMENT_F32);
        header.u16(LAYOUT_DENSE);
        header.u32(self.dim as u32);
        header.u64(self.rows as u64);
        header.u16(CODES_I8);
        let header = header.finish(HEADER_LEN);
        self.write_sections(ids)?;
        let mut write = || {
            self.file.rewind()?;
            self.file.write_all(&header)?;
            self.file.flush()
        };
        write().map_err(Error::io("write", &self.path))
    }

    /// Writes all that follows the rows, for which it reads them again.
    fn write_sections(&mut self, ids: &[PromptId]) -> Result<()> {
        let io = Error::io("write", &self.path);
        self.file.flush().map_err(&io)?;
        let written = Mmap::open(&self.path)?;
        let rows_len = self.rows * self.dim * size_of::<f32>();
        let rows = wire::section::<f32>(written.as_ref(), HEADER_LEN, rows_len);
        let rows = rows.unwrap_or_default();
        let mut scales = Vec::with_capacity(self.rows);
        let mut code = Vec::with_capacity(self.dim);
        let mut write = || {
            self.file.write_all(wire::padding(HEADER_LEN + rows_len))?;
            for id in ids {
                self.file.write_all(&id.to_bytes())?;
            }
            self.file.write_all(wire::padding(size_of_val(ids)))?;
            for row in rows.chunks_exact(self.dim) {
                code.clear();
                scales.push(encode(row, &mut code));
                self.file.write_all(bytemuck::cast_slice(&code))?;
            }
            self.file.write_all(wire::padding(self.rows * self.dim))?;
            for scale in &scales {
                self.file.write_all(&scale.to_le_bytes())?;
            }
            Ok(())
        };
        write().map_err(io)
    }
}

/// The file, read in place.
#[derive(Debug)]
pub(crate) struct Vectors<B> {
    bytes: B,
    path: PathBuf,
    dim: usize,
    rows: usize,
}

impl<B: AsRef<[u8]>> Vectors<B> {
    /// Checks the header, and that the length is what it says.
    pub(crate) fn new(bytes: B, path: &Path) -> Result<Vectors<B>> {
        let damaged = |why: String| Error::corrupt(path, "header", why);
        let all = bytes.as_ref();
        let mut header = HeaderReader::new(all, HEADER_LEN, LABEL, VERSION, path)?;
        let (element, layout) = (header.u16(), header.u16());
        let (dim, rows) = (header.u32() as usize, header.u64());
        let codes = header.u16();
        if codes != CODES_I8 {
            return Err(damaged(format!("unknown codes {codes}")));
        }
        if (element, layout) != (ELEMENT_F32, LAYOUT_DENSE) {
            return Err(damaged(format!(
                "unknown element type {element} or layout {layout}"
            )));
        }
        if dim == 0 || dim > MAX_DIM || rows > MAX_ROWS as u64 {
            return Err(damaged(format!(
                "{rows} rows of {dim} numbers are out of range"
            )));
        }
        let rows = rows as usize;
        let end = Offsets::new(rows, dim).map(|offsets| offsets.end);
        if end != Some(all.len()) {
            let why = format!(
                "{rows} rows of {dim} numbers do not make {} bytes",
                all.len()
            );
            return Err(Error::corrupt(path, "length", why));
        }
        if wire::section::<f32>(all, HEADER_LEN, rows * dim * size_of::<f32>()).is_none() {
            return Err(Error::corrupt(
                path,
                "rows",
                "they are not aligned in memory",
            ));
        }
        Ok(Vectors {
            bytes,
            path: path.to_owned(),
            dim,
            rows,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Numbers in each.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// All rows.
    pub(crate) fn rows(&self) -> Rows<'_> {
        let bytes = self.bytes.as_ref();
        let sections = Offsets::new(self.rows, self.dim).and_then(|offsets| {
            Some((
                wire::section(bytes, HEADER_LEN, offsets.rows_len)?,
                wire::section(bytes, offsets.codes, self.rows * self.dim)?,
                wire::section(bytes, offsets.scales, self.rows * size_of::<f32>())?,
            ))
        });
        let (values, codes, scales) = sections.unwrap_or_default();
        Rows {
            values,
            codes,
            scales,
            dim: self.dim,
            path: &self.path,
        }
    }

    /// Where in the file a row's numbers stand, and its id.
    pub(crate) fn places(&self, row: u32) -> [Range<usize>; 2] {
        let (row, len) = (row as usize, self.dim * size_of::<f32>());
        let ids = Offsets::new(self.rows, self.dim).map_or(usize::MAX, |offsets| offsets.ids);
        let place = |start: usize, len: usize| {
            let start = start.saturating_add(row.saturating_mul(len));
            start..start.saturating_add(len)
        };
        [place(HEADER_LEN, len), place(ids, ID_LEN)]
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The prompt id of a row.
    pub(crate) fn id(&self, row: u32) -> Result<PromptId> {
        Offsets::new(self.rows, self.dim)
            .filter(|_| (row as usize) < self.rows)
            .and_then(|offsets| {
                self.bytes
                    .as_ref()
                    .get(offsets.ids + row as usize * ID_LEN..)
            })
            .and_then(|bytes| bytes.first_chunk())
            .map(|&bytes| PromptId::from_bytes(bytes))
            .ok_or_else(|| Error::corrupt(&self.path, "ids", format!("there is no row {row}")))
    }
}

/// All rows of a `vectors` file, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    values: &'a [f32],
    codes: &'a [i8],
    scales: &'a [f32],
    dim: usize,
    path: &'a Path,
}

impl<'a> Rows<'a> {
    /// Rows that are never given back.
    #[cfg(test)]
    pub(crate) fn of(values: &'a [f32], dim: usize) -> Rows<'a> {
        let mut codes = Vec::new();
        let rows = values.chunks_exact(dim);
        let scales: Vec<f32> = rows.map(|row| encode(row, &mut codes)).collect();
        Rows {
            values,
            codes: codes.leak(),
            scales: scales.leak(),
            dim,
            path: Path::new("memory"),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    pub(crate) fn get(&self, row: u32) -> Result<&'a [f32]> {
        let start = row as usize * self.dim;
        self.values
            .get(start..start + self.dim)
            .ok_or_else(|| Error::corrupt(self.path, "rows", format!("there is no row {row}")))
    }

    /// The cosine of a row to `query`; damage that makes it no number is an error.
    #[inline]
    pub(crate) fn score(&self, row: u32, query: &[f32]) -> Result<Candidate> {
        let score = dot(self.get(row)?, query);
        if score.is_finite() {
            return Ok(Candidate { score, row });
        }
        Err(Error::corrupt(
            self.path,
            "rows",
            format!("row {row} is not a unit vector"),
        ))
    }

    /// A row in 8 bits a number.
    #[inline]
    pub(crate) fn code(&self, row: u32) -> Result<Code<'a>> {
        let (numbers, scale) = self.code_parts(row)?;
        let scale = *scale;
        Ok(Code { numbers, scale })
    }

    /// The dot products of the codes of some rows with that of a query, without their scales.
    pub(crate) fn dots(&self, rows: &[u32], query: Code<'_>, dots: &mut Vec<i32>) -> Result<()> {
        dots.clear();
        dots.resize(rows.len(), 0);
        if dots_i8(query.numbers, self.codes, rows, dots) {
            return Ok(());
        }
        let why = "there is no such row".to_owned();
        Err(Error::corrupt(self.path, "codes", why))
    }

    /// A row with its cosine, nearly, to a query whose code has this dot product with the row's.
    #[inline]
    pub(crate) fn candidate(&self, row: u32, dot: i32, query: Code<'_>) -> Result<Candidate> {
        let scale = self.scales.get(row as usize).copied().unwrap_or(f32::NAN);
        let score = dot as f32 * (scale * query.scale);
        if score.is_finite() {
            return Ok(Candidate { score, row });
        }
        let why = format!("the scale of row {row} is not a number");
        Err(Error::corrupt(self.path, "codes", why))
    }

    #[inline]
    fn code_parts(&self, row: u32) -> Result<(&'a [i8], &'a f32)> {
        let start = row as usize * self.dim;
        let numbers = self.codes.get(start..start + self.dim);
        numbers
            .zip(self.scales.get(row as usize))
            .ok_or_else(|| Error::corrupt(self.path, "codes", format!("there is no row {row}")))
    }

    /// As [`Rows::score`], by the code of the row: near enough to walk by.
    #[inline]
    pub(crate) fn estimate(&self, row: u32, query: Code<'_>) -> Result<Candidate> {
        let (numbers, _) = self.code_parts(row)?;
        self.candidate(row, dot_i8(numbers, query.numbers), query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rows: &[[f32; 3]], ids: &[PromptId]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vectors");
        let mut writer = VectorsWriter::create(&path, 3).unwrap();
        for row in rows {
            writer.push(row).unwrap();
        }
        writer.finish(ids).unwrap();
        std::fs::read(path).unwrap()
    }

    /// Bytes at an address that fits f32, as a mapping has.
    fn open(bytes: &[u8]) -> Result<Vectors<Vec<u8>>> {
        Vectors::new(bytes.to_vec(), Path::new("vectors"))
    }

    #[test]
    fn rows_and_ids_come_back() {
        let ids = [PromptId::of("a"), PromptId::of("b")];
        let vectors = open(&file(&[[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]], &ids)).unwrap();
        assert_eq!((vectors.len(), vectors.dim()), (2, 3));
        assert_eq!(vectors.rows().get(1).unwrap(), [0.0, 0.6, 0.8]);
        assert_eq!(vectors.id(1).unwrap(), ids[1]);
        assert!(vectors.rows().get(2).is_err() && vectors.id(2).is_err());
        assert!(vectors.rows().get(u32::MAX).is_err() && vectors.id(u32::MAX).is_err());
    }

    #[test]
    fn codes_come_back_and_estimate_the_score() {
        let ids = [PromptId::of("a"), PromptId::of("b")];
        let vectors = open(&file(&[[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]], &ids)).unwrap();
        let rows = vectors.rows();
        assert_eq!(rows.code(0).unwrap().numbers, [127, 0, 0]);
        assert_eq!(rows.code(1).unwrap().numbers, [0, 95, 127]);
        let query = rows.code(0).unwrap();
        for (row, cosine) in [(0, 1.0), (1, 0.0)] {
            let found = rows.estimate(row, query).unwrap().score;
            assert!((found - cosine).abs() < 1e-6, "row {row}: {found}");
        }
        assert!(rows.code(2).is_err() && rows.estimate(u32::MAX, query).is_err());
    }

    #[test]
    fn wrong_lengths_and_numbers_are_errors() {
        let good = file(&[[1.0, 0.0, 0.0]], &[PromptId::of("a")]);
        for len in 0..good.len() {
            assert!(
                matches!(open(&good[..len]), Err(Error::Corrupt { .. })),
                "{len} bytes"
            );
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(matches!(
            open(&longer),
            Err(Error::Corrupt {
                section: "length",
                ..
            })
        ));
        let scale_at = good.len() - size_of::<f32>();
        for at in [HEADER_LEN, scale_at] {
            let mut nan = good.clone();
            nan[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
            let vectors = open(&nan).unwrap();
            let rows = vectors.rows();
            let sound = rows.score(0, &[1.0, 0.0, 0.0]).is_ok();
            assert_eq!(sound, at == scale_at);
            assert_eq!(rows.estimate(0, rows.code(0).unwrap()).is_ok(), !sound);
        }
    }
}
