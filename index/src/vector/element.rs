//! What the numbers of rows are stored as.

use std::borrow::Cow;
use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::distance;

/// What the numbers of vectors are stored as. Vectors of fewer than 64 numbers, which take few bytes
/// in any case, are stored as [`Element::F32`] whatever is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Element {
    /// As they are given, 4 bytes a number.
    F32,
    /// Rounded to 11 significant bits, 2 bytes a number: cosines of unit vectors are off by about
    /// 1e-5, less than sentence encoders differ from one processor to another.
    #[default]
    F16,
}

impl Element {
    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self {
            Element::F32 => size_of::<f32>(),
            Element::F16 => size_of::<f16>(),
        }
    }
}

/// Numbers of rows, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl<'a> Values<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F16(values) => values.len(),
        }
    }

    #[inline]
    pub(crate) fn get(self, range: Range<usize>) -> Option<Values<'a>> {
        match self {
            Values::F32(values) => values.get(range).map(Values::F32),
            Values::F16(values) => values.get(range).map(Values::F16),
        }
    }

    /// Copied if they are stored as anything else.
    pub(crate) fn to_f32(self) -> Cow<'a, [f32]> {
        match self {
            Values::F32(values) => Cow::Borrowed(values),
            Values::F16(values) => {
                let mut wide = vec![0.0; values.len()];
                values.convert_to_f32_slice(&mut wide);
                Cow::Owned(wide)
            }
        }
    }

    /// The dot product with a vector of as many numbers.
    #[inline]
    pub(crate) fn dot(self, vector: &[f32]) -> f32 {
        match self {
            Values::F32(values) => distance::dot(values, vector),
            Values::F16(values) => distance::dot_f16(values, vector),
        }
    }

    /// Asks for their cache lines, which will be read soon.
    #[inline]
    pub(crate) fn prefetch(self) {
        match self {
            Values::F32(values) => distance::prefetch(values),
            Values::F16(values) => distance::prefetch(values),
        }
    }

    /// Rows of `dim` numbers each.
    pub(crate) fn rows(self, dim: usize) -> impl Iterator<Item = Cow<'a, [f32]>> {
        let rows = (0..self.len() / dim).map(move |row| self.get(row * dim..(row + 1) * dim));
        rows.flatten().map(Values::to_f32)
    }
}
