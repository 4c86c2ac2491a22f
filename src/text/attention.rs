//! Attention of one text to itself (Vaswani 2017, s. 3.2.1), head by head, on the calling thread.
//!
//! Texts are short and heads narrow, so that products of whole matrices would spend their time on
//! preparing factors. Here a few rows are multiplied with as many columns as fit a vector, in registers.

use super::kernels::softmax;
use crate::numeric::vectorised;

/// Columns that are summed side by side: a vector of the widest kind.
const COLUMNS: usize = 16;
/// Rows that are.
const ROWS: usize = 8;

/// Memory of the calls of one forward pass.
#[derive(Default)]
pub(super) struct Scratch {
    /// A head's keys, (head_dim, tokens) with the tokens filled up to whole vectors.
    keys: Vec<f32>,
    /// (tokens, tokens), filled up alike.
    scores: Vec<f32>,
}

/// What a text's tokens attend with.
pub(super) struct Attention<'a> {
    /// Queries, keys and values of each token, side by side: (tokens, 3 * dim).
    pub(super) parts: &'a [f32],
    pub(super) heads: usize,
    /// Is added to the scores: (heads, tokens, tokens).
    pub(super) bias: Option<&'a [f32]>,
}

impl Attention<'_> {
    /// Writes what each token takes from all, (tokens, dim), to `out`.
    pub(super) fn mix(&self, out: &mut [f32], dim: usize, scratch: &mut Scratch) {
        let tokens = out.len() / dim;
        let head_dim = dim / self.heads;
        let width = tokens.next_multiple_of(COLUMNS);
        scratch.keys.resize(head_dim * width, 0.0);
        scratch.scores.resize(tokens * width, 0.0);
        let (keys, scores) = (&mut scratch.keys[..], &mut scratch.scores[..]);
        let scale = 1.0 / (head_dim as f32).sqrt();
        vectorised(
            #[inline(always)]
            || {
                for head in 0..self.heads {
                    let at = head * head_dim;
                    let rows = self.parts.chunks_exact(3 * dim);
                    for (token, row) in rows.enumerate() {
                        let key = &row[dim + at..][..head_dim];
                        for (to, key) in keys.chunks_exact_mut(width).zip(key) {
                            to[token] = key * scale;
                        }
                    }
                    keys.chunks_exact_mut(width)
                        .for_each(|to| to[tokens..].fill(0.0));
                    let queries = Rows {
                        values: &self.parts[at..],
                        stride: 3 * dim,
                    };
                    let keys = Rows {
                        values: keys,
                        stride: width,
                    };
                    multiply(scores, width, queries, keys, [tokens, head_dim, width]);
                    for (token, row) in scores.chunks_exact_mut(width).enumerate() {
                        let row = &mut row[..tokens];
                        if let Some(bias) = self.bias {
                            let bias = &bias[(head * tokens + token) * tokens..][..tokens];
                            row.iter_mut()
                                .zip(bias)
                                .for_each(|(score, bias)| *score += bias);
                        }
                        softmax(row);
                    }
                    let shares = Rows {
                        values: scores,
                        stride: width,
                    };
                    let values = Rows {
                        values: &self.parts[2 * dim + at..],
                        stride: 3 * dim,
                    };
                    multiply(
                        &mut out[at..],
                        dim,
                        shares,
                        values,
                        [tokens, tokens, head_dim],
                    );
                }
            },
        );
    }
}

/// Rows of a matrix that lie `stride` numbers apart.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

/// Writes the product of (rows, inner) and (inner, columns) to rows that lie `stride` numbers apart.
#[inline(always)]
fn multiply(
    out: &mut [f32],
    stride: usize,
    a: Rows<'_>,
    b: Rows<'_>,
    [rows, inner, columns]: [usize; 3],
) {
    let mut row = 0;
    while row < rows {
        let left = Rows {
            values: &a.values[row * a.stride..],
            ..a
        };
        let out = &mut out[row * stride..];
        let live = (rows - row).min(ROWS);
        if live == ROWS {
            strip::<ROWS>(out, stride, left, b, inner, columns);
        } else {
            for row in 0..live {
                let left = Rows {
                    values: &left.values[row * a.stride..],
                    ..a
                };
                strip::<1>(&mut out[row * stride..], stride, left, b, inner, columns);
            }
        }
        row += live;
    }
}

/// The product of `N` rows.
#[inline(always)]
fn strip<const N: usize>(
    out: &mut [f32],
    stride: usize,
    a: Rows<'_>,
    b: Rows<'_>,
    inner: usize,
    columns: usize,
) {
    let lines: [&[f32]; N] = std::array::from_fn(|row| &a.values[row * a.stride..][..inner]);
    let mut column = 0;
    while column + COLUMNS <= columns {
        let mut sums = [[0f32; COLUMNS]; N];
        for place in 0..inner {
            let b = &b.values[place * b.stride + column..][..COLUMNS];
            for (sums, line) in sums.iter_mut().zip(&lines) {
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum += line[place] * b;
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            out[row * stride + column..][..COLUMNS].copy_from_slice(sums);
        }
        column += COLUMNS;
    }
    for column in column..columns {
        for (row, line) in lines.iter().enumerate() {
            let parts = line.iter().enumerate();
            out[row * stride + column] = parts
                .map(|(at, a)| a * b.values[at * b.stride + column])
                .sum();
        }
    }
}
