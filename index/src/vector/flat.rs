//! The file `vectors`: a row of numbers, a prompt id and, where rows are long, the row's code for every
//! prompt, in the order of their pushing.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;

use super::code::{Coder, Codes};
use super::element::{Element, Values};
use super::form::{Coding, Form, HEADER_LEN, ID_LEN, Sections};
use super::rows::Rows;
use crate::distance::dot;
use crate::error::{Error, Result};
use crate::id::PromptId;
use crate::mmap::Mmap;
use crate::wire;

/// Rounding makes the length of a unit vector less wrong than this. Rows of f16 that are further off
/// are scaled first, so that what is read is as good a unit vector as what was given.
const UNIT_OF_F16: f32 = 5e-4;

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
    if form.coding == Coding::None {
        return Ok(());
    }
    let mean = mean(rows, dim);
    for value in &mean {
        out.write_all(&value.to_le_bytes())?;
    }
    out.write_all(wire::padding(size_of_val(mean.as_slice())))?;
    let mut encoder = Coder::new(&mean).encoder();
    // Encoded twice, rather than to keep the lower halves in memory.
    rows.for_each_row(dim, |row| {
        encoder.encode(row);
        out.write_all(&encoder.upper)
    })?;
    let mut scales = Vec::with_capacity(rows.len() / dim);
    rows.for_each_row(dim, |row| {
        scales.push(encoder.encode(row));
        out.write_all(&encoder.lower)
    })?;
    for value in scales.as_flattened() {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

/// The mean of all rows, zeros where there are none.
fn mean(rows: Values<'_>, dim: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; dim];
    let Ok(()) = rows.for_each_row(dim, |row| {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
        Ok::<(), Infallible>(())
    });
    let count = (rows.len() / dim).max(1) as f64;
    sums.iter().map(|sum| (sum / count) as f32).collect()
}

/// Writes numbers of rows as those of `element`.
fn write_row(row: &[f32], element: Element, out: &mut impl Write) -> io::Result<()> {
    row.iter().try_for_each(|&value| match element {
        Element::F32 => out.write_all(&value.to_le_bytes()),
        Element::F16 => out.write_all(&f16::from_f32(value).to_le_bytes()),
    })
}

/// The numbers of a section of rows, if it is there.
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
    let mut file = form.header(count, dim);
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
        let length = dot(row, row).sqrt();
        let unit: Vec<f32>;
        let row = match self.form.element {
            Element::F16 if (length - 1.0).abs() > UNIT_OF_F16 => {
                unit = row.iter().map(|x| x / length).collect();
                &unit
            }
            _ => row,
        };
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
        let len = self.rows * self.dim * self.form.element.size();
        {
            let written = Mmap::open(&self.path)?;
            let place = HEADER_LEN..HEADER_LEN + len;
            let rows = values(written.as_ref(), &place, self.form.element);
            let rows = rows.ok_or_else(|| Error::corrupt(&self.path, "length", "it was cut"))?;
            write_sections(rows, self.dim, self.form, ids, &mut self.file).map_err(&io)?;
        }
        let header = self.form.header(self.rows, self.dim);
        let mut write = || {
            self.file.rewind()?;
            self.file.write_all(&header)?;
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
    form: Form,
    rows: usize,
    dim: usize,
    sections: Sections,
}

impl<B: AsRef<[u8]>> Vectors<B> {
    /// Checks the header, that the length is what it says, and that all sections are aligned.
    pub(crate) fn new(bytes: B, path: &Path) -> Result<Vectors<B>> {
        let all = bytes.as_ref();
        let (form, rows, dim) = Form::read(all, path)?;
        let sections = Sections::new(form, rows, dim).filter(|it| it.end() == all.len());
        let Some(sections) = sections else {
            let len = all.len();
            let why = format!("{rows} rows of {dim} numbers do not make {len} bytes");
            return Err(Error::corrupt(path, "length", why));
        };
        // Sections start on multiples of more than any number needs.
        if !all.as_ptr().cast::<f32>().is_aligned() {
            let why = "they are not aligned in memory";
            return Err(Error::corrupt(path, "rows", why));
        }
        Ok(Vectors {
            bytes,
            path: path.to_owned(),
            form,
            rows,
            dim,
            sections,
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

    /// All rows.
    pub(crate) fn rows(&self) -> Rows<'_> {
        let (bytes, sections) = (self.bytes.as_ref(), &self.sections);
        let codes = || {
            Some(Codes {
                mean: part(bytes, &sections.mean)?,
                upper: part(bytes, &sections.upper)?,
                lower: part(bytes, &sections.lower)?,
                scales: part(bytes, &sections.scales)?,
            })
        };
        let values = values(bytes, &sections.rows, self.form.element);
        Rows {
            values: values.unwrap_or(Values::F32(&[])),
            codes: (self.form.coding == Coding::Halves).then(codes).flatten(),
            dim: self.dim,
            path: &self.path,
        }
    }

    /// Where in the file a row's numbers stand, and its id.
    pub(crate) fn places(&self, row: u32) -> [Range<usize>; 2] {
        let place = |start: usize, len: usize| {
            let start = start.saturating_add((row as usize).saturating_mul(len));
            start..start.saturating_add(len)
        };
        let len = self.dim * self.form.element.size();
        [
            place(self.sections.rows.start, len),
            place(self.sections.ids.start, ID_LEN),
        ]
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
        let ids: Option<&[[u8; ID_LEN]]> = part(self.bytes.as_ref(), &self.sections.ids);
        ids.and_then(|ids| ids.get(row as usize))
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

    use super::super::code::Scale;
    use super::*;
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
        assert_eq!(read(Form::PLAIN), (whole.clone(), 280, false));
        let [f32, f16] = [Element::F32, Element::F16].map(|it| read(Form::searched(70, it)));
        assert_eq!(f32, (whole, 280, true));
        let rounded = row.map(|x| f16::from_f32(x).to_f32());
        assert_eq!(f16, (rounded.to_vec(), 140, true));
    }

    #[test]
    fn rows_of_f16_are_unit_vectors_and_stay_as_they_are() {
        let mut row = [0.0; 70];
        row[..2].fill(0.7078);
        let ids = [PromptId::of("a")];
        let read = |row| {
            let file = written(&[row], &ids, Form::searched(70, Element::F16));
            open(&file).unwrap().rows().get(0).unwrap().into_owned()
        };
        let once = read(row);
        assert!((dot(&once, &once).sqrt() - 1.0).abs() < UNIT_OF_F16);
        assert_eq!(read(once.clone().try_into().unwrap()), once);
    }

    #[test]
    fn rows_of_version_1_are_walked_by_themselves() {
        // A byte a number and a step a row after the ids.
        let row = direction(0.3);
        let form = Form {
            element: Element::F32,
            coding: Coding::I8,
        };
        let mut bytes = form.header(1, 70);
        bytes.extend_from_slice(bytemuck::cast_slice(&row));
        bytes.extend_from_slice(wire::padding(bytes.len()));
        bytes.extend_from_slice(&PromptId::of("a").to_bytes());
        for code in [70, size_of::<f32>()] {
            bytes.extend_from_slice(wire::padding(bytes.len()));
            bytes.resize(bytes.len() + code, 1);
        }
        let vectors = open(&bytes).unwrap();
        assert_eq!(vectors.id(0).unwrap(), PromptId::of("a"));
        let (rows, near) = (vectors.rows(), direction(0.31));
        let found = rows.estimate(0, &rows.query(&near)).unwrap().score;
        assert_eq!(found, dot(&row, &near));
        let own = rows.estimate(0, &rows.query_of(0).unwrap()).unwrap().score;
        assert!((own - 1.0).abs() < 1e-6);
        assert_ne!(vectors.form(), Form::searched(70, Element::F32));
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
