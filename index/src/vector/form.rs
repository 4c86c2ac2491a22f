//! How the rows of a `vectors` file are kept: its header, and where its sections lie.

use std::ops::Range;
use std::path::Path;

use super::code::{self, Scale};
use super::element::Element;
use crate::error::{Error, Result};
use crate::id::PromptId;
use crate::wire::{self, HeaderReader, HeaderWriter};

const LABEL: [u8; 8] = *b"unpromtV";
/// Of this file; that of the index is in its MANIFEST.
const VERSION: u32 = 3;
pub(super) const HEADER_LEN: usize = 64;
pub(super) const ID_LEN: usize = size_of::<PromptId>();

/// Row layouts. Only rows one after the other, without gaps, are written so far.
const LAYOUT_DENSE: u16 = 1;

/// Numbers a vector may have.
pub(crate) const MAX_DIM: usize = 1 << 16;
/// Rows a segment may have: the keyword index counts documents in 31 bits.
pub(crate) const MAX_ROWS: usize = (1 << 31) - 1;

/// What is kept of the rows' codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Nothing: rows are short, or not there to be searched.
    None,
    /// A byte a number, as version 1 of the file has them; they are passed over.
    I8,
    /// Two halves, as [`code`] has them.
    Halves,
}

/// How rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(super) element: Element,
    pub(super) coding: Coding,
}

impl Form {
    /// As they are given, and nothing else: to be read again, or short.
    pub(crate) const PLAIN: Form = Form {
        element: Element::F32,
        coding: Coding::None,
    };

    /// For a search among rows of `dim` numbers; short ones are kept plainly whatever the element.
    pub(crate) fn searched(dim: usize, element: Element) -> Form {
        if dim < code::MIN_DIM {
            return Form::PLAIN;
        }
        Form {
            element,
            coding: Coding::Halves,
        }
    }

    /// What numbers are stored as.
    pub(crate) fn element(self) -> Element {
        self.element
    }

    /// The header of a file of `rows` rows of `dim` numbers.
    pub(super) fn header(self, rows: usize, dim: usize) -> Vec<u8> {
        let mut header = HeaderWriter::new(LABEL, VERSION);
        header.u16(match self.element {
            Element::F32 => 1,
            Element::F16 => 2,
        });
        header.u16(LAYOUT_DENSE);
        header.u32(dim as u32);
        header.u64(rows as u64);
        header.u16(match self.coding {
            Coding::None => 0,
            Coding::I8 => 1,
            Coding::Halves => 2,
        });
        header.finish(HEADER_LEN)
    }

    /// What a file's header says: form, rows, numbers in a row.
    pub(super) fn read(bytes: &[u8], path: &Path) -> Result<(Form, usize, usize)> {
        let damaged = |why: String| Error::corrupt(path, "header", why);
        let mut header = HeaderReader::new(bytes, HEADER_LEN, LABEL, VERSION, path)?;
        let element = match header.u16() {
            1 => Element::F32,
            2 => Element::F16,
            other => return Err(damaged(format!("unknown element type {other}"))),
        };
        let layout = header.u16();
        if layout != LAYOUT_DENSE {
            return Err(damaged(format!("unknown layout {layout}")));
        }
        let (dim, rows) = (header.u32() as usize, header.u64());
        let coding = match header.u16() {
            0 => Coding::None,
            1 => Coding::I8,
            2 => Coding::Halves,
            other => return Err(damaged(format!("unknown codes {other}"))),
        };
        if dim == 0 || dim > MAX_DIM || rows > MAX_ROWS as u64 {
            let why = format!("{rows} rows of {dim} numbers are out of range");
            return Err(damaged(why));
        }
        Ok((Form { element, coding }, rows as usize, dim))
    }
}

/// Where the sections lie.
#[derive(Debug)]
pub(super) struct Sections {
    pub(super) rows: Range<usize>,
    pub(super) ids: Range<usize>,
    pub(super) mean: Range<usize>,
    pub(super) upper: Range<usize>,
    pub(super) lower: Range<usize>,
    pub(super) scales: Range<usize>,
}

impl Sections {
    /// None where no file could be so long.
    pub(super) fn new(form: Form, rows: usize, dim: usize) -> Option<Sections> {
        let half = code::width(dim);
        // Bytes of the mean, and for each row of what is kept of its code.
        let (mean, upper, lower, scale) = match form.coding {
            Coding::None => (0, 0, 0, 0),
            Coding::I8 => (0, dim, 0, size_of::<f32>()),
            Coding::Halves => (dim * size_of::<f32>(), half, half, size_of::<Scale>()),
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

    /// The length of the file.
    pub(super) fn end(&self) -> usize {
        self.scales.end
    }
}
