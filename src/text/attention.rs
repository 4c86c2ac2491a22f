//! Attention of one text to itself (Vaswani 2017, s. 3.2.1), head by head, on the calling thread.
//!
//! Texts are short and heads narrow, so that products of whole matrices would spend their time on
//! preparing factors. Here a few rows are multiplied with as many columns as fit two vectors, in registers.

use pulp::{Arch, Simd, WithSimd};

use super::kernels::softmax;

/// Rows that are summed side by side.
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
        if !out.is_empty() {
            Arch::new().dispatch(Mix {
                attention: self,
                out,
                dim,
                scratch,
            });
        }
    }
}

/// The work of [`Attention::mix`], for vectors of any width.
struct Mix<'a> {
    attention: &'a Attention<'a>,
    out: &'a mut [f32],
    dim: usize,
    scratch: &'a mut Scratch,
}

impl WithSimd for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            attention,
            out,
            dim,
            scratch,
        } = self;
        let Attention { parts, heads, bias } = *attention;
        let tokens = out.len() / dim;
        let head_dim = dim / heads;
        let width = tokens.next_multiple_of(S::F32_LANES);
        scratch.keys.resize(head_dim * width, 0.0);
        scratch.scores.resize(tokens * width, 0.0);
        let (keys, scores) = (&mut scratch.keys[..], &mut scratch.scores[..]);
        let scale = 1.0 / (head_dim as f32).sqrt();
        let part = |number: usize, head: usize| Rows {
            values: &parts[number * dim + head * head_dim..],
            stride: 3 * dim,
        };
        for head in 0..heads {
            for (token, row) in parts.chunks_exact(3 * dim).enumerate() {
                let key = &row[dim + head * head_dim..][..head_dim];
                for (to, key) in keys.chunks_exact_mut(width).zip(key) {
                    to[token] = key * scale;
                }
            }
            keys.chunks_exact_mut(width)
                .for_each(|to| to[tokens..].fill(0.0));
            let own = Rows {
                values: keys,
                stride: width,
            };
            let sizes = [tokens, head_dim, width];
            multiply(simd, scores, width, part(0, head), own, sizes);
            for (token, row) in scores.chunks_exact_mut(width).enumerate() {
                let row = &mut row[..tokens];
                if let Some(bias) = bias {
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
            let (out, sizes) = (&mut out[head * head_dim..], [tokens, tokens, head_dim]);
            multiply(simd, out, dim, shares, part(2, head), sizes);
        }
    }
}

/// Rows of a matrix that lie `stride` numbers apart.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn from(self, row: usize) -> Self {
        let values = &self.values[row * self.stride..];
        Self { values, ..self }
    }
}

/// Writes the product of (rows, inner) and (inner, columns) to rows that lie `stride` numbers apart.
#[inline(always)]
fn multiply<S: Simd>(
    simd: S,
    out: &mut [f32],
    stride: usize,
    a: Rows<'_>,
    b: Rows<'_>,
    [rows, inner, columns]: [usize; 3],
) {
    if rows < ROWS {
        for row in 0..rows {
            let out = &mut out[row * stride..];
            strip::<S, 1>(simd, out, stride, a.from(row), b, [inner, columns]);
        }
        return;
    }
    for row in (0..rows).step_by(ROWS) {
        // The last rows with some of those before them once more: that many at a time are fast.
        let row = row.min(rows - ROWS);
        let out = &mut out[row * stride..];
        strip::<S, ROWS>(simd, out, stride, a.from(row), b, [inner, columns]);
    }
}

/// The product of `N` rows.
#[inline(always)]
fn strip<S: Simd, const N: usize>(
    simd: S,
    out: &mut [f32],
    stride: usize,
    a: Rows<'_>,
    b: Rows<'_>,
    [inner, columns]: [usize; 2],
) {
    let lines: [&[f32]; N] = std::array::from_fn(|row| &a.values[row * a.stride..][..inner]);
    let mut column = 0;
    while column + 2 * S::F32_LANES <= columns {
        piece::<S, N, 2>(simd, &mut out[column..], stride, lines, b, column);
        column += 2 * S::F32_LANES;
    }
    if column + S::F32_LANES <= columns {
        piece::<S, N, 1>(simd, &mut out[column..], stride, lines, b, column);
        column += S::F32_LANES;
    }
    for column in column..columns {
        for (row, line) in lines.iter().enumerate() {
            let column_of_b = b.values[column..].iter().step_by(b.stride);
            out[row * stride + column] = line.iter().zip(column_of_b).map(|(a, b)| a * b).sum();
        }
    }
}

/// `V` vectors of columns of the product of `N` rows.
#[inline(always)]
fn piece<S: Simd, const N: usize, const V: usize>(
    simd: S,
    out: &mut [f32],
    stride: usize,
    lines: [&[f32]; N],
    b: Rows<'_>,
    column: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; N];
    let rows = b.values.chunks(b.stride).take(lines[0].len());
    for (place, b) in rows.enumerate() {
        let (b, _) = S::as_simd_f32s(&b[column..][..V * S::F32_LANES]);
        for (sums, line) in sums.iter_mut().zip(&lines) {
            let a = simd.splat_f32s(line[place]);
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = simd.mul_add_e_f32s(a, b, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        let out = &mut out[row * stride..][..V * S::F32_LANES];
        let (out, _) = S::as_mut_simd_f32s(out);
        out.copy_from_slice(sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attention as the paper writes it, in double precision.
    fn exact(
        parts: &[f32],
        tokens: usize,
        dim: usize,
        heads: usize,
        bias: Option<&[f32]>,
    ) -> Vec<f64> {
        let head_dim = dim / heads;
        let at = |token: usize, part: usize, place: usize| {
            f64::from(parts[token * 3 * dim + part * dim + place])
        };
        let mut out = vec![0.0; tokens * dim];
        for head in 0..heads {
            let places = head * head_dim..(head + 1) * head_dim;
            for token in 0..tokens {
                let scores: Vec<f64> = (0..tokens)
                    .map(|other| {
                        let dot: f64 = places
                            .clone()
                            .map(|it| at(token, 0, it) * at(other, 1, it))
                            .sum();
                        let bias =
                            bias.map_or(0.0, |bias| bias[(head * tokens + token) * tokens + other]);
                        (dot / (head_dim as f64).sqrt() + f64::from(bias)).exp()
                    })
                    .collect();
                let sum: f64 = scores.iter().sum();
                for place in places.clone() {
                    let parts = scores.iter().enumerate();
                    let mixed: f64 = parts
                        .map(|(other, score)| score * at(other, 2, place))
                        .sum();
                    out[token * dim + place] = mixed / sum;
                }
            }
        }
        out
    }

    #[test]
    fn it_is_that_of_the_definition_for_texts_and_heads_of_any_size() {
        let mut scratch = Scratch::default();
        for (tokens, dim, heads) in [(1, 8, 2), (5, 24, 3), (8, 64, 2), (17, 96, 3), (70, 40, 2)] {
            let parts: Vec<f32> = (0..tokens * 3 * dim)
                .map(|i| (i as f32 * 0.37).sin())
                .collect();
            let bias: Vec<f32> = (0..heads * tokens * tokens)
                .map(|i| (i as f32).cos())
                .collect();
            for bias in [None, Some(&bias[..])] {
                let mut out = vec![f32::NAN; tokens * dim];
                let attention = Attention {
                    parts: &parts,
                    heads,
                    bias,
                };
                attention.mix(&mut out, dim, &mut scratch);
                for (found, exact) in out.iter().zip(exact(&parts, tokens, dim, heads, bias)) {
                    assert!((f64::from(*found) - exact).abs() < 1e-5, "{found} {exact}");
                }
            }
        }
    }
}
