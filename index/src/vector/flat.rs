//! The file `vectors`: a row of f32 and a prompt id for every prompt, in the order of their
//! pushing, and the exact search over the rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Candidate;
use crate::distance::dot;
use crate::error::{Error, Result};
use crate::id::PromptId;
use crate::wire::{self, HeaderReader, HeaderWriter};

const LABEL: [u8; 8] = *b"unpromtV";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
const ID_LEN: usize = size_of::<PromptId>();

/// Element types of a row. Only f32 is written so far.
const ELEMENT_F32: u16 = 1;
/// Row layouts. Only rows one after the other, without gaps, are written so far.
const LAYOUT_DENSE: u16 = 1;

/// Numbers a vector may have.
pub(crate) const MAX_DIM: usize = 1 << 16;
/// Rows a segment may have: the keyword index counts documents in 31 bits.
pub(crate) const MAX_ROWS: usize = (1 << 31) - 1;

/// Where the sections start, and where the file ends.
struct Offsets {
    ids: usize,
    end: usize,
    rows_len: usize,
}

impl Offsets {
    fn new(rows: usize, dim: usize) -> Option<Offsets> {
        let rows_len = rows.checked_mul(dim)?.checked_mul(size_of::<f32>())?;
        let ids = wire::align_up(HEADER_LEN.checked_add(rows_len)?)?;
        let end = ids.checked_add(rows.checked_mul(ID_LEN)?)?;
        Some(Offsets { ids, end, rows_len })
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

    /// Adds the id of every row and the header.
    pub(crate) fn finish(mut self, ids: &[PromptId]) -> Result<()> {
        debug_assert_eq!(ids.len(), self.rows);
        let mut header = HeaderWriter::new(LABEL, VERSION);
        header.u16(ELEMENT_F32);
        header.u16(LAYOUT_DENSE);
        header.u32(self.dim as u32);
        header.u64(self.rows as u64);
        let header = header.finish(HEADER_LEN);
        let rows_len = self.rows * self.dim * size_of::<f32>();
        let mut write = || {
            self.file.write_all(wire::padding(HEADER_LEN + rows_len))?;
            for id in ids {
                self.file.write_all(&id.to_bytes())?;
            }
            self.file.rewind()?;
            self.file.write_all(&header)?;
            self.file.flush()
        };
        write().map_err(Error::io("write", &self.path))
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
        let values = Offsets::new(self.rows, self.dim)
            .and_then(|offsets| wire::section(self.bytes.as_ref(), HEADER_LEN, offsets.rows_len))
            .unwrap_or_default();
        Rows {
            values,
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
    dim: usize,
    path: &'a Path,
}

impl<'a> Rows<'a> {
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of(values: &'a [f32], dim: usize) -> Rows<'a> {
        Rows {
            values,
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

    /// The `k` best of `candidates` by comparing with each, best first.
    pub(crate) fn exact(
        &self,
        query: &[f32],
        k: usize,
        candidates: impl Iterator<Item = u32>,
    ) -> Result<Vec<Candidate>> {
        let mut best: BinaryHeap<Reverse<Candidate>> = BinaryHeap::new();
        for row in candidates {
            let candidate = self.score(row, query)?;
            if best.len() < k {
                best.push(Reverse(candidate));
            } else if let Some(mut worst) = best.peek_mut()
                && candidate > worst.0
            {
                *worst = Reverse(candidate);
            }
        }
        Ok(best
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse(candidate)| candidate)
            .collect())
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
    fn exact_gives_the_best_and_the_earlier_of_equals() {
        let ids = ["a", "b", "c"].map(PromptId::of);
        let vectors = open(&file(
            &[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            &ids,
        ));
        let vectors = vectors.unwrap();
        let best = |k| -> Vec<u32> {
            let found = vectors.rows().exact(&[0.0, 1.0, 0.0], k, 0..3).unwrap();
            found.iter().map(|candidate| candidate.row).collect()
        };
        assert_eq!(best(1), [0]);
        assert_eq!(best(9), [0, 2, 1]);
        assert!(best(0).is_empty());
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
        nan[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        let vectors = open(&nan).unwrap();
        assert!(vectors.rows().exact(&[1.0, 0.0, 0.0], 1, 0..1).is_err());
    }
}
