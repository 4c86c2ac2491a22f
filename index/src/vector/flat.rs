//! The file `vectors`: a row of numbers, a prompt id and, where rows are long, the row's code for every
//! prompt, in the order of their pushing.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;

use super::code::{self, Coder, Codes, Scale};
use super::element::{Element, Values};
use super::rows::Rows;
use crate::error::{Error, Result};
use crate::id::PromptId;
use crate::mmap::Mmap;
use crate::wire::{self, HeaderReader, HeaderWriter};

const LABEL: [u8; 8] = *b"unpromtV";
const VERSION: u32 = 3;
const HEADER_LEN: usize = 64;
const ID_LEN: usize = size_of::<PromptId>();

/// Element types of a row.
const ELEMENTS: [(u16, Element); 2] = [(1, Element::F32), (2, Element::F16)];
/// Row layouts. Only rows one after the other, without gaps, are written so far.
const LAYOUT_DENSE: u16 = 1;
/// There are no codes: rows are short, or not there to be searched.
const CODES_NONE: u16 = 0;
/// Codes of one byte a number, as version 1 wrote them; they are passed over.
const CODES_I8: u16 = 1;
/// Codes in two halves, as [`code`] has them.
const CODES_HALVES: u16 = 2;

/// Numbers a vector may have.
pub(crate) const MAX_DIM: usize = 1 << 16;
/// Rows a segment may have: the keyword index counts documents in 31 bits.
pub(crate) const MAX_ROWS: usize = (1 << 31) - 1;

/// How rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    element: Element,
    /// How their codes are made.
    codes: u16,
}

impl Form {
    /// To be read again, and not to be searched.
    pub(crate) const STAGED: Form = Form {
        element: Element::F32,
        codes: CODES_NONE,
    };

    /// To be searched: rows of `dim` numbers of this element, if they are not short.
    pub(crate) fn searched(dim: usize, element: Element) -> Form {
        if dim < code::MIN_DIM {
            return Form::STAGED;
        }
        Form {
            element,
            codes: CODES_HALVES,
        }
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
    fn new(rows: usize, dim: usize, form: Form) -> Option<Sections> {
        let half = code::width(dim);
        // Bytes of the mean, and for each row of what is kept of its code.
        let (mean, upper, lower, scale) = match form.codes {
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
            rows: section(rows, dim.checked_mul(form.element.size())?)?,
            ids: section(rows, ID_LEN)?,
            mean: section(1, mean)?,
            upper: section(rows, upper)?,
            lower: section(rows, lower)?,
            scales: section(rows, scale)?,
        })
    }
}

fn header(rows: usize, dim: usize, form: Form) -> Vec<u8> {
    let mut header = HeaderWriter::new(LABEL, VERSION);
    let element = ELEMENTS.iter().find(|(_, it)| *it == form.element);
    header.u16(element.map_or(0, |(number, _)| *number));
    header.u16(LAYOUT_DENSE);
    header.u32(dim as u32);
    header.u64(rows as u64);
    header.u16(form.codes);
    header.finish(HEADER_LEN)
}

/// Writes all that follows the rows.
fn write_sections(
    rows: Values<'_>,
    dim: usize,
    form: Form,
    ids: &[PromptId],
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(wire::padding(HEADER_LEN + rows.len() * form.element.size()))?;
    for id in ids {
        out.write_all(&id.to_bytes())?;
    }
    out.write_all(wire::padding(size_of_val(ids)))?;
    if form.codes == CODES_NONE {
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
    for row in rows.rows(dim) {
        coder.encode(&row, &mut upper, &mut lower);
        out.write_all(&upper)?;
    }
    let mut scales = Vec::with_capacity(rows.len() / dim);
    for row in rows.rows(dim) {
        scales.push(coder.encode(&row, &mut upper, &mut lower));
        out.write_all(&lower)?;
    }
    for value in scales.as_flattened() {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

/// The mean of all rows, zeros where there are none.
fn mean(rows: Values<'_>, dim: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; dim];
    for row in rows.rows(dim) {
        for (sum, value) in sums.iter_mut().zip(row.iter()) {
            *sum += f64::from(*value);
        }
    }
    let count = (rows.len() / dim).max(1) as f64;
    sums.iter().map(|sum| (sum / count) as f32).collect()
}

/// Writes a row as numbers of `element`.
fn write_row(row: &[f32], element: Element, out: &mut impl Write) -> io::Result<()> {
    row.iter().try_for_each(|&value| match element {
        Element::F32 => out.write_all(&value.to_le_bytes()),
        Element::F16 => out.write_all(&f16::from_f32(value).to_le_bytes()),
    })
}

/// A section of rows, if it is there.
fn values<'a>(bytes: &'a [u8], at: &Range<usize>, element: Element) -> Option<Values<'a>> {
    match element {
        Element::F32 => part(bytes, at).map(Values::F32),
        Element::F16 => part(bytes, at).map(Values::F16),
    }
}

/// The file of these rows, whose ids are zeros.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn file(rows: &[f32], dim: usize, element: Element) -> Vec<u8> {
    let (count, form) = (rows.len() / dim, Form::searched(dim, element));
    let mut file = header(count, dim, form);
    let ids = vec![PromptId::from_bytes([0; ID_LEN]); count];
    // Writing to memory does not fail.
    let _ = write_row(rows, form.element, &mut file);
    let written = file.clone();
    let rows = values(&written, &(HEADER_LEN..written.len()), form.element);
    let rows = rows.unwrap_or(Values::F32(&[]));
    let _ = write_sections(rows, dim, form, &ids, &mut file);
    file
}

/// Writes the file row by row; without [`VectorsWriter::finish`] it has no header.
pub(crate) struct VectorsWriter {
    file: BufWriter<File>,
    path: PathBuf,
    dim: usize,
    form: Form,
    rows: usize,
}

impl VectorsWriter {
    pub(crate) fn create(path: &Path, dim: usize, form: Form) -> Result<VectorsWriter> {
        let file = File::create_new(path).map_err(Error::io("create", path))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&[0; HEADER_LEN])
            .map_err(Error::io("write", path))?;
        Ok(VectorsWriter {
            file,
            path: path.to_owned(),
            dim,
            form,
            rows: 0,
        })
    }

    /// Adds a row, which must have `dim` numbers.
    pub(crate) fn push(&mut self, row: &[f32]) -> Result<()> {
        debug_assert_eq!(row.len(), self.dim);
        write_row(row, self.form.element, &mut self.file)
            .map_err(Error::io("write", &self.path))?;
        self.rows += 1;
        Ok(())
    }

    /// Adds the id and the code of every row, for which it reads the rows again, and the header.
    pub(crate) fn finish(mut self, ids: &[PromptId]) -> Result<()> {
        debug_assert_eq!(ids.len(), self.rows);
        let io = Error::io("write", &self.path);
        self.file.flush().map_err(&io)?;
        let written = Mmap::open(&self.path)?;
        let len = self.rows * self.dim * self.form.element.size();
        let place = HEADER_LEN..HEADER_LEN + len;
        let rows = values(written.as_ref(), &place, self.form.element);
        let rows = rows.ok_or_else(|| Error::corrupt(&self.path, "length", "it was cut"))?;
        let mut write = || {
            write_sections(rows, self.dim, self.form, ids, &mut self.file)?;
            self.file.rewind()?;
            self.file
                .write_all(&header(self.rows, self.dim, self.form))?;
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
    form: Form,
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
        let known = ELEMENTS.iter().find(|(number, _)| *number == element);
        let Some(&(_, element)) = known.filter(|_| layout == LAYOUT_DENSE) else {
            return Err(damaged(format!(
                "unknown element type {element} or layout {layout}"
            )));
        };
        let form = Form { element, codes };
        if dim == 0 || dim > MAX_DIM || rows > MAX_ROWS as u64 {
            return Err(damaged(format!(
                "{rows} rows of {dim} numbers are out of range"
            )));
        }
        let rows = rows as usize;
        let sections = Sections::new(rows, dim, form).filter(|it| it.scales.end == all.len());
        let Some(sections) = sections else {
            let why = format!(
                "{rows} rows of {dim} numbers do not make {} bytes",
                all.len()
            );
            return Err(Error::corrupt(path, "length", why));
        };
        if values(all, &sections.rows, element).is_none() {
            let why = "they are not aligned in memory";
            return Err(Error::corrupt(path, "rows", why));
        }
        Ok(Vectors {
            bytes,
            path: path.to_owned(),
            dim,
            rows,
            form,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// How they are kept.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Numbers in each.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    fn sections(&self) -> Option<Sections> {
        Sections::new(self.rows, self.dim, self.form)
    }

    /// All rows.
    pub(crate) fn rows(&self) -> Rows<'_> {
        let bytes = self.bytes.as_ref();
        let sections = self.sections();
        let values = sections
            .as_ref()
            .and_then(|it| values(bytes, &it.rows, self.form.element));
        let codes = sections.filter(|_| self.form.codes == CODES_HALVES);
        let codes = codes.and_then(|it| {
            Some(Codes {
                mean: part(bytes, &it.mean)?,
                upper: part(bytes, &it.upper)?,
                lower: part(bytes, &it.lower)?,
                scales: part(bytes, &it.scales)?,
            })
        });
        Rows {
            values: values.unwrap_or(Values::F32(&[])),
            codes,
            dim: self.dim,
            path: &self.path,
        }
    }

    /// Where in the file a row's numbers stand, and its id.
    pub(crate) fn places(&self, row: u32) -> [Range<usize>; 2] {
        let (row, len) = (row as usize, self.dim * self.form.element.size());
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
    use std::borrow::Cow;

    use super::*;
    use crate::distance::dot;
    use crate::vector::Candidate;
    use crate::vector::rows::{Estimates, Query};

    fn file<const DIM: usize>(rows: &[[f32; DIM]], ids: &[PromptId]) -> Vec<u8> {
        written(rows, ids, Form::searched(DIM, Element::F16))
    }

    fn written<const DIM: usize>(rows: &[[f32; DIM]], ids: &[PromptId], form: Form) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vectors");
        let mut writer = VectorsWriter::create(&path, DIM, form).unwrap();
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
        assert_eq!(*vectors.rows().get(1).unwrap(), [0.0, 0.6, 0.8]);
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
        let found = vectors
            .rows()
            .estimate(0, &Query::Vector(Cow::Borrowed(&[0.6, 0.8, 0.0])));
        assert_eq!(found.unwrap().score, 0.6);
    }

    #[test]
    fn long_rows_are_stored_as_asked_for_and_staged_as_they_are() {
        let (row, ids) = (direction(0.7), [PromptId::of("a")]);
        let read = |form| {
            let vectors = open(&written(&[row], &ids, form)).unwrap();
            let found = vectors.rows().get(0).unwrap().into_owned();
            let places = vectors.places(0);
            assert_eq!(vectors.id(0).unwrap(), ids[0]);
            (found, places[0].len(), vectors.rows().codes.is_some())
        };
        let whole = row.to_vec();
        assert_eq!(read(Form::STAGED), (whole.clone(), 280, false));
        let [f32, f16] = [Element::F32, Element::F16].map(|it| read(Form::searched(70, it)));
        assert_eq!(f32, (whole, 280, true));
        let rounded = row.map(|x| f16::from_f32(x).to_f32());
        assert_eq!(f16, (rounded.to_vec(), 140, true));
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
