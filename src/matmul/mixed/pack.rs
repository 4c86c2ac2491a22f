//! Factors as pairs, in the order in which tiles want them.

use std::cell::RefCell;
use std::ops::Range;

use super::super::Matrix;
use super::amx;
use super::round::Rounding;

/// Numbers in a vector register.
pub(super) const LANES: usize = 16;

/// Vectors of a panel at most: as many as tiles of vectors sum at once.
const MOST_VECTORS: usize = 4;

/// The same for tile registers: twice as wide ones would not stay in the nearest cache beside the rows that
/// go past them.
const MOST_VECTORS_OF_TILES: usize = 2;

/// So many panels' memory is kept by a thread at most.
const MOST_SPARE: usize = 4;

/// Larger memory than this, of 4 MiB, is not kept.
const MOST_PAIRS: usize = 1 << 20;

/// Rows beyond the left factor's last that tiles may read.
pub(super) const SPARE_ROWS: usize = 16;

thread_local! {
    /// Memory of panels that are gone: products of a step are of few sizes.
    static SPARE: RefCell<Vec<Vec<u32>>> = const { RefCell::new(vec![]) };
}

/// Memory of `length` pairs of any value.
fn memory(length: usize) -> Vec<u32> {
    let mut memory = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    memory.resize(length, 0);
    memory
}

fn give_back(memory: Vec<u32>) {
    // While a thread ends, its memory may be gone already.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MOST_SPARE && memory.len() <= MOST_PAIRS {
            spare.push(memory);
        }
    });
}

/// The two rows of a pair; the last one may lack the second.
fn two_rows(values: &[f32], length: usize, pair: usize) -> (&[f32], Option<&[f32]>) {
    let mut rows = values[2 * pair * length..].chunks_exact(length);
    (rows.next().unwrap_or_default(), rows.next())
}

/// The right factor.
pub(in super::super) struct Panels {
    pairs: Vec<u32>,
    inner: usize,
    columns: usize,
    /// Of a panel at most.
    vectors: usize,
}

/// Some columns of the right factor, for each pair as many vectors.
pub(super) struct Panel<'a> {
    pub(super) pairs: &'a [u32],
    pub(super) columns: Range<usize>,
    pub(super) vectors: usize,
}

impl Panels {
    /// Rounds `b`.
    pub(in super::super) fn new(b: Matrix<'_>) -> Self {
        let tiles = amx::is_there();
        Self::with_vectors(
            b,
            if tiles {
                MOST_VECTORS_OF_TILES
            } else {
                MOST_VECTORS
            },
        )
    }

    /// Rounds `b` into panels of so many vectors at most.
    pub(super) fn with_vectors(b: Matrix<'_>, vectors: usize) -> Self {
        let rounding = Rounding::fastest();
        let inner = b.rows.div_ceil(2);
        let width = b.columns.div_ceil(LANES) * LANES;
        let mut panels = Self {
            pairs: memory(inner * width),
            inner,
            columns: b.columns,
            vectors,
        };
        let layout: Vec<_> = panels.layout().collect();
        let mut rest = panels.pairs.as_mut_slice();
        for (columns, vectors) in layout {
            let width = vectors * LANES;
            let (panel, others) = rest.split_at_mut(inner * width);
            rest = others;
            if b.is_by_rows() {
                by_rows(b, columns, width, panel, rounding);
            } else {
                by_columns(b, columns, width, panel, rounding);
            }
        }
        panels
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Columns and vectors of each panel: as few panels as can be, all about as wide.
    fn layout(&self) -> impl Iterator<Item = (Range<usize>, usize)> + use<> {
        let columns = self.columns;
        let vectors = columns.div_ceil(LANES);
        let panels = vectors.div_ceil(self.vectors);
        (0..panels).map(move |panel| {
            let (start, end) = (panel * vectors / panels, (panel + 1) * vectors / panels);
            (start * LANES..(end * LANES).min(columns), end - start)
        })
    }

    pub(super) fn panels(&self) -> impl Iterator<Item = Panel<'_>> {
        let mut start = 0;
        self.layout().map(move |(columns, vectors)| {
            let length = self.inner * vectors * LANES;
            start += length;
            Panel {
                pairs: &self.pairs[start - length..start],
                columns,
                vectors,
            }
        })
    }
}

impl Drop for Panels {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.pairs));
    }
}

/// A panel of a matrix whose rows lie in one piece.
fn by_rows(b: Matrix<'_>, columns: Range<usize>, width: usize, to: &mut [u32], with: Rounding) {
    let zeros = [0f32; MOST_VECTORS * LANES];
    let live = columns.len();
    for (number, to) in to.chunks_exact_mut(width).enumerate() {
        let (first, second) = two_rows(b.values, b.columns, number);
        let second = second.map_or(&zeros[..live], |row| &row[columns.clone()]);
        let (to, padding) = to.split_at_mut(live);
        (with.across)(&first[columns.clone()], second, to);
        padding.fill(0);
    }
}

/// A panel of a matrix whose columns lie in one piece.
fn by_columns(b: Matrix<'_>, columns: Range<usize>, width: usize, to: &mut [u32], with: Rounding) {
    let inner = to.len() / width;
    let live = columns.len();
    // One column after the other, side by side.
    let mut lines = memory(inner * live);
    for (line, column) in lines.chunks_exact_mut(inner).zip(columns) {
        (with.along)(&b.values[column * b.rows..][..b.rows], line);
    }
    for (number, to) in to.chunks_exact_mut(width).enumerate() {
        let (to, padding) = to.split_at_mut(live);
        for (to, line) in to.iter_mut().zip(lines.chunks_exact(inner)) {
            *to = line[number];
        }
        padding.fill(0);
    }
    give_back(lines);
}

/// The left factor: the pair `number` of a row stands at `row * row_stride + number * pair_stride`.
/// There are [`SPARE_ROWS`] more rows than the matrix has, of any numbers.
pub(super) struct Left<'a> {
    pub(super) pairs: &'a [u32],
    pub(super) rows: usize,
    pub(super) row_stride: usize,
    pub(super) pair_stride: usize,
    inner: usize,
}

impl<'a> Left<'a> {
    /// Rounds `a` into `memory`.
    pub(super) fn new(a: Matrix<'_>, memory: &'a mut Vec<u32>) -> Self {
        let rounding = Rounding::fastest();
        let inner = a.columns.div_ceil(2);
        let rows = a.rows + SPARE_ROWS;
        // An odd number of cache lines, so that the same place in 16 rows is in as many sets of the cache.
        let row_stride = (inner.div_ceil(LANES) | 1) * LANES;
        let size = rows * row_stride;
        if memory.len() < size {
            memory.resize(size, 0);
        }
        let pairs = &mut memory[..size];
        let (row_stride, pair_stride) = if a.is_by_rows() {
            let from = a.values.chunks_exact(a.columns);
            for (to, from) in pairs.chunks_exact_mut(row_stride).zip(from) {
                (rounding.along)(from, &mut to[..inner]);
            }
            (row_stride, 1)
        } else {
            let zeros = vec![0f32; if a.columns % 2 == 1 { a.rows } else { 0 }];
            for (number, to) in pairs.chunks_exact_mut(rows).enumerate().take(inner) {
                let (first, second) = two_rows(a.values, a.rows, number);
                (rounding.across)(first, second.unwrap_or(&zeros), to);
            }
            (1, rows)
        };
        Self {
            pairs,
            rows: a.rows,
            row_stride,
            pair_stride,
            inner,
        }
    }

    /// Pairs of a row.
    pub(super) fn pairs(&self) -> usize {
        self.inner
    }
}
