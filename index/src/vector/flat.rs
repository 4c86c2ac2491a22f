//! The file `vectors`: a row of f32, a prompt id and, where rows are long, the row's code for every
//! prompt, in the order of their pushing.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::code::{self, Coder, Codes, Scale};
use super::rows::Rows;
use crate::error::{Error, Result};
use crate::id::PromptId;
use crate::mmap::Mmap;
use crate::wire::{self, HeaderReader, HeaderWriter};

const LABEL: [u8; 8] = *b"unpromtV";
const VERSION: u32 = 2;
const HEADER_LEN: usize = 64;
const ID_LEN: usize = size_of::<PromptId>();

/// Element types of a row. Only f32 is written so far.
const ELEMENT_F32: u16 = 1;
/// Row layouts. Only rows one after the other, without gaps, are written so far.
const LAYOUT_DENSE: u16 = 1;
/// There are no codes: rows are short.
const CODES_NONE: u16 = 0;
/// Codes of one byte a number, as version 1 wrote them; they are passed over.
const CODES_I8: u16 = 1;
/// Codes in two halves, as [`code`] has them.
const CODES_HALVES: u16 = 2;

/// Numbers a vector may have.
pub(crate) const MAX_DIM: usize = 1 << 16;
/// Rows a segment may have: the keyword index counts documents in 31 bits.
pub(crate) const MAX_ROWS: usize = (1 << 31) - 1;

/// How codes of rows of `dim` numbers are written.
fn codes_of(dim: usize) -> u16 {
    if dim < code::MIN_DIM {
        CODES_NONE
    } else {
        CODES_HALVES
    }
}

/// Where the sections lie.
struct Sections {
    rows: Range<usize>,
    ids: Range<usize>,
    mean: Range<usize>,
    upper: Range<usize>,
    lower: Range<usize>,
    scales: Range<usize>,
}

impl Sections {
    fn new(rows: usize, dim: usize, codes: u16) -> Option<Sections> {
        let half = code::width(dim);
        // Bytes of the mean, and for each row of what is kept of its code.
        let (mean, upper, lower, scale) = match codes {
            CODES_NONE => (0, 0, 0, 0),
            CODES_I8 => (0, dim, 0, size_of::<f32>()),
            CODES_HALVES => (dim * size_of::<f32>(), half, half, size_of::<Scale>()),
            _ => return None,
        };
        let mut end = HEADER_LEN;
        let mut section = |count: usize, len: usize| {
            let start = wire::align_up(end)?;
            end = start.checked_add(count.checked_mul(len)?)?;
            Some(start..end)
        };
        Some(Sections {
            rows: section(rows, dim.checked_mul(size_of::<f32>())?)?,
            ids: section(rows, ID_LEN)?,
            mean: section(1, mean)?,
            upper: section(rows, upper)?,
            lower: section(rows, lower)?,
            scales: section(rows, scale)?,
        })
    }
}

fn header(rows: usize, dim: usize) -> Vec<u8> {
    let mut header = HeaderWriter::new(LABEL, VERSION);
    header.u16(ELEMENT_F32);
    header.u16(LAYOUT_DENSE);
    header.u32(dim as u32);
    header.u64(rows as u64);
    header.u16(codes_of(dim));
    header.finish(HEADER_LEN)
}

/// Writes all that follows the rows.
fn write_sections(
    rows: &[f32],
    dim: usize,
    ids: &[PromptId],
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(wire::padding(HEADER_LEN + size_of_val(rows)))?;
    for id in ids {
        out.write_all(&id.to_bytes())?;
    }
    out.write_all(wire::padding(size_of_val(ids)))?;
    if codes_of(dim) == CODES_NONE {
        return Ok(());
    }
    let mean = mean(rows, dim);
    for value in &mean {
        out.write_all(&value.to_le_bytes())?;
    }
    out.write_all(wire::padding(size_of_val(mean.as_slice())))?;
    let coder = Coder::new(&mean);
    let (mut upper, mut lower) = (Vec::new(), Vec::new());
    // Encoded twice, rather than to keep the lower halves in memory.
    for row in rows.chunks_exact(dim) {
        coder.encode(row, &mut upper, &mut lower);
        out.write_all(&upper)?;
    }
    let mut scales = Vec::with_capacity(rows.len() / dim);
    for row in rows.chunks_exact(dim) {
        scales.push(coder.encode(row, &mut upper, &mut lower));
        out.write_all(&lower)?;
    }
    for value in scales.as_flattened() {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

/// The mean of all rows, zeros where there are none.
fn mean(rows: &[f32], dim: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; dim];
    for row in rows.chunks_exact(dim) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    let count = (rows.len() / dim).max(1) as f64;
    sums.iter().map(|sum| (sum / count) as f32).collect()
}

/// The file of these rows, whose ids are zeros.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn file(rows: &[f32], dim: usize) -> Vec<u8> {
    let count = rows.len() / dim;
    let mut file = header(count, dim);
    file.extend_from_slice(bytemuck::cast_slice(rows));
    let ids = vec![PromptId::from_bytes([0; ID_LEN]); count];
    // Writing to memory does not fail.
    let _ = write_sections(rows, dim, &ids, &mut file);
    file
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

    /// Adds the id and the code of every row, for which it reads the rows again, and the header.
    pub(crate) fn finish(mut self, ids: &[PromptId]) -> Result<()> {
        debug_assert_eq!(ids.len(), self.rows);
        let io = Error::io("write", &self.path);
        self.file.flush().map_err(&io)?;
        let written = Mmap::open(&self.path)?;
        let rows_len = self.rows * self.dim * size_of::<f32>();
        let rows = wire::section::<f32>(written.as_ref(), HEADER_LEN, rows_len);
        let mut write = || {
            write_sections(rows.unwrap_or_default(), self.dim, ids, &mut self.file)?;
            self.file.rewind()?;
            self.file.write_all(&header(self.rows, self.dim))?;
            self.file.flush()
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
    /// How they are made.
    codes: u16,
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
        if ![CODES_NONE, CODES_I8, CODES_HALVES].contains(&codes) {
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
        let sections = Sections::new(rows, dim, codes);
        if sections.map(|sections| sections.scales.end) != Some(all.len()) {
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
            codes,
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

    fn sections(&self) -> Option<Sections> {
        Sections::new(self.rows, self.dim, self.codes)
    }

    /// All rows.
    pub(crate) fn rows(&self) -> Rows<'_> {
        let bytes = self.bytes.as_ref();
        let sections = self.sections();
        let values = sections.as_ref().and_then(|it| part(bytes, &it.rows));
        let codes = sections.filter(|_| self.codes == CODES_HALVES);
        let codes = codes.and_then(|it| {
            Some(Codes {
                mean: part(bytes, &it.mean)?,
                upper: part(bytes, &it.upper)?,
                lower: part(bytes, &it.lower)?,
                scales: part(bytes, &it.scales)?,
            })
        });
        Rows {
            values: values.unwrap_or_default(),
            codes,
            dim: self.dim,
            path: &self.path,
        }
    }

    /// Where in the file a row's numbers stand, and its id.
    pub(crate) fn places(&self, row: u32) -> [Range<usize>; 2] {
        let (row, len) = (row as usize, self.dim * size_of::<f32>());
        let ids = self.sections().map_or(usize::MAX, |it| it.ids.start);
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
        self.sections()
            .filter(|_| (row as usize) < self.rows)
            .and_then(|it| {
                self.bytes
                    .as_ref()
                    .get(it.ids.start + row as usize * ID_LEN..)
            })
            .and_then(|bytes| bytes.first_chunk())
            .map(|&bytes| PromptId::from_bytes(bytes))
            .ok_or_else(|| Error::corrupt(&self.path, "ids", format!("there is no row {row}")))
    }
}

/// A section as elements, if it is there.
fn part<'a, T: bytemuck::AnyBitPattern>(bytes: &'a [u8], at: &Range<usize>) -> Option<&'a [T]> {
    wire::section(bytes, at.start, at.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::dot;
    use crate::vector::Candidate;
    use crate::vector::rows::{Estimates, Query};

    fn file<const DIM: usize>(rows: &[[f32; DIM]], ids: &[PromptId]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vectors");
        let mut writer = VectorsWriter::create(&path, DIM).unwrap();
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

    /// A unit vector in a direction that has to do with `turn` only.
    fn direction(turn: f32) -> [f32; 70] {
        let row = std::array::from_fn(|i| (turn * (i + 1) as f32).sin());
        let length = dot(&row, &row).sqrt();
        row.map(|x| x / length)
    }

    #[test]
    fn short_rows_have_no_codes() {
        let bytes = file(&[[1.0, 0.0, 0.0]], &[PromptId::of("a")]);
        assert_eq!(bytes.len(), HEADER_LEN + 64 + ID_LEN + 48, "{HEADER_LEN}");
        let vectors = open(&bytes).unwrap();
        let found = vectors.rows().estimate(0, &Query::Vector(&[0.6, 0.8, 0.0]));
        assert_eq!(found.unwrap().score, 0.6);
    }

    #[test]
    fn codes_come_back_and_estimate_the_score() {
        let all: Vec<[f32; 70]> = (0..20).map(|i| direction(0.3 * i as f32 + 0.1)).collect();
        let ids: Vec<PromptId> = (0..20).map(|i| PromptId::of(&i.to_string())).collect();
        let vectors = open(&file(&all, &ids)).unwrap();
        let rows = vectors.rows();
        for turn in [0.42, 0.4, 3.0] {
            let near = direction(turn);
            let query = rows.query(&near);
            let exact = |row| rows.score(row, &near).unwrap();
            let mut candidates = Vec::new();
            for row in 0..20 {
                let found = rows.estimate(row, &query).unwrap();
                let off = (found.score - exact(row).score).abs();
                assert!(off < 0.03, "row {row}: off by {off}");
                candidates.push(found);
            }
            let mut estimates = Estimates::default();
            rows.estimates(&[3, 0], &query, &mut estimates).unwrap();
            assert_eq!(
                estimates.scores,
                [3, 0].map(|row: usize| candidates[row].score)
            );
            rows.refine(&mut candidates, &query).unwrap();
            for found in &candidates {
                let off = (found.score - exact(found.row).score).abs();
                assert!(off < 0.002, "row {}: off by {off}", found.row);
            }
        }
        let query = rows.query_of(5).unwrap();
        let found = rows.estimate(5, &query).unwrap().score;
        assert!((found - 1.0).abs() < 0.03, "a row to itself: {found}");
        assert!(rows.query_of(20).is_err());
        for absent in [20, u32::MAX] {
            assert!(rows.estimate(absent, &query).is_err());
            assert!(
                rows.estimates(&[0, absent], &query, &mut Estimates::default())
                    .is_err()
            );
        }
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
        let mut nan = good;
        nan[HEADER_LEN..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        let vectors = open(&nan).unwrap();
        assert!(vectors.rows().score(0, &[1.0, 0.0, 0.0]).is_err());
    }

    #[test]
    fn a_scale_that_is_no_number_is_an_error() {
        let mut bytes = file(&[direction(1.0)], &[PromptId::of("a")]);
        let scale = bytes.len() - size_of::<Scale>();
        bytes[scale..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        let vectors = open(&bytes).unwrap();
        let rows = vectors.rows();
        let query = rows.query(&[0.1; 70]);
        assert!(rows.estimate(0, &query).is_err());
        assert!(
            rows.refine(&mut [Candidate { score: 0.0, row: 0 }], &query)
                .is_err()
        );
    }
}
