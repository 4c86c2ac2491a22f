//! What the numbers of rows are stored as.

use std::borrow::Cow;
use std::ops::Range;

use half::f16;

use crate::distance;

/// What the numbers of vectors are stored as. Vectors of fewer than 64 numbers, which take few bytes
/// in any case, are stored as [`Element::F32`] whatever is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Element {
    /// As they are given, 4 bytes a number.
    F32,
    /// Rounded to 11 significant bits, 2 bytes a number. A cosine is off by 2^-11 at most, and by about
    /// 1e-5 for sentence embeddings of some hundred numbers.
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
                distance::widen(values, &mut wide);
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

    /// Calls `visit` with each row of `dim` numbers, until it fails.
    pub(crate) fn for_each_row<E>(
        self,
        dim: usize,
        mut visit: impl FnMut(&[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Values::F32(values) => values.chunks_exact(dim).try_for_each(visit),
            Values::F16(values) => {
                let mut wide = vec![0.0; dim];
                values.chunks_exact(dim).try_for_each(|row| {
                    distance::widen(row, &mut wide);
                    visit(&wide)
                })
            }
        }
    }
}
