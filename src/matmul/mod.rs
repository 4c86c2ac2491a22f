//! Products of matrices of `f32`, on the calling thread alone.
//!
//! candle spreads each product over the pool it is called in and wants tensors; the layers of `nn` work
//! on slices, one worker a core. The one folder with `unsafe` for products that ARCHITECTURE.md names.
//! Whether factors are rounded to bfloat16 before they are multiplied is a matter of the thread:
//! [`Precision`].

mod few;
mod matrix;
mod mixed;
mod precision;
mod single;

pub(crate) use matrix::Matrix;
pub use precision::Precision;

/// The right factor of one or more products, made ready for them once.
pub(crate) struct Factor<'a> {
    rows: usize,
    columns: usize,
    ready: Ready<'a>,
}

/// What products are made of.
enum Ready<'a> {
    Single(Matrix<'a>),
    /// (columns, rows), row by row.
    Kept(Vec<f32>),
    Mixed(mixed::Panels),
}

/// Right factors with a side below this are not worth rounding.
const SHORTEST_MIXED: usize = 8;

impl<'a> Factor<'a> {
    /// Makes `matrix` ready in the thread's precision.
    pub(crate) fn new(matrix: Matrix<'a>) -> Self {
        let mixed = mixed(matrix, Precision::of_thread());
        Self {
            rows: matrix.rows,
            columns: matrix.columns,
            ready: mixed.map_or(Ready::Single(matrix), Ready::Mixed),
        }
    }
}

impl Factor<'static> {
    /// Makes the weights of a layer ready for good: (outputs, `inputs`) as they are published, of which
    /// the factor is the transpose.
    ///
    /// # Panics
    /// If they are not whole rows of `inputs`, or that is 0.
    pub(crate) fn kept(weights: Vec<f32>, inputs: usize, precision: Precision) -> Self {
        let outputs = weights.len() / inputs;
        let mixed = mixed(
            Matrix::new(&weights, outputs, inputs).transposed(),
            precision,
        );
        Self {
            rows: inputs,
            columns: outputs,
            ready: mixed.map_or(Ready::Kept(weights), Ready::Mixed),
        }
    }
}

/// The panels of a right factor in mixed precision, if it is worth it.
fn mixed(matrix: Matrix<'_>, precision: Precision) -> Option<mixed::Panels> {
    let is_long = matrix.rows.min(matrix.columns) >= SHORTEST_MIXED;
    let mixed = is_long && precision == Precision::Mixed;
    mixed.then(|| mixed::Panels::new(matrix))
}

/// Adds `a b` to `out`, which holds a matrix row by row.
///
/// # Panics
/// If the sizes disagree.
pub(crate) fn add_product(out: &mut [f32], a: Matrix<'_>, b: &Factor<'_>) {
    product(out, a, b, true);
}

/// Makes `out`, which holds a matrix row by row, `a b`.
///
/// # Panics
/// If the sizes disagree.
pub(crate) fn write_product(out: &mut [f32], a: Matrix<'_>, b: &Factor<'_>) {
    product(out, a, b, false);
}

fn product(out: &mut [f32], a: Matrix<'_>, b: &Factor<'_>, add: bool) {
    assert_eq!(a.columns, b.rows, "the inner sizes of a product");
    let size = a.rows.checked_mul(b.columns);
    assert_eq!(Some(out.len()), size, "the size of a product");
    if out.is_empty() {
        return;
    }
    if a.columns == 0 {
        if !add {
            out.fill(0.0);
        }
        return;
    }
    match &b.ready {
        Ready::Single(matrix) => single(out, a, *matrix, add),
        Ready::Kept(weights) => {
            let matrix = Matrix::new(weights, b.columns, b.rows).transposed();
            single(out, a, matrix, add);
        }
        Ready::Mixed(panels) => mixed::product(out, a, panels, add),
    }
}

fn single(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    if a.rows <= few::MAX_ROWS && a.is_by_rows() && b.row_stride == 1 {
        few::product(out, a, b, add);
    } else {
        single::product(out, a, b, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, factor: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * factor).sin()).collect()
    }

    /// `values`, a (rows, columns) matrix, transposed.
    fn flipped(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..rows * columns)
            .map(|i| values[(i % rows) * columns + i / rows])
            .collect()
    }

    /// Compares products in every orientation with sums in double precision; `factor` is what a
    /// factor is rounded to, and errors of a sum are within `bound` times the sum of its parts' sizes.
    fn agree_with_the_definition(factor: impl Fn(f32) -> f32, bound: f64) {
        for (m, k, n) in [
            (1, 9, 8),
            (3, 15, 12),
            (17, 33, 9),
            (64, 40, 65),
            (29, 600, 144),
            (7, 1100, 81),
        ] {
            let (a, b) = (values(m * k, 0.7), values(k * n, 1.3));
            let (a_t, b_t) = (flipped(&a, m, k), flipped(&b, k, n));
            for a_side in [Matrix::new(&a, m, k), Matrix::new(&a_t, k, m).transposed()] {
                let kept = Factor::kept(b_t.clone(), k, Precision::of_thread());
                let transposed = Matrix::new(&b_t, n, k).transposed();
                for b_side in [
                    Factor::new(Matrix::new(&b, k, n)),
                    Factor::new(transposed),
                    kept,
                ] {
                    let mut written = vec![f32::NAN; m * n];
                    write_product(&mut written, a_side, &b_side);
                    let mut added = vec![0.5; m * n];
                    add_product(&mut added, a_side, &b_side);
                    for (place, (written, added)) in written.iter().zip(&added).enumerate() {
                        let (row, column) = (place / n, place % n);
                        let parts = (0..k).map(|i| {
                            let (a, b) = (factor(a[row * k + i]), factor(b[i * n + column]));
                            f64::from(a) * f64::from(b)
                        });
                        let sum: f64 = parts.clone().sum();
                        let within = bound * (0.5 + parts.map(f64::abs).sum::<f64>());
                        let close = |x: f64| (x - sum).abs() < within;
                        assert!(close(f64::from(*written)), "{written} {sum} ({m} {k} {n})");
                        assert!(
                            close(f64::from(*added) - 0.5),
                            "{added} {sum} ({m} {k} {n})"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn products_are_those_of_the_definition_in_every_orientation() {
        agree_with_the_definition(|x| x, 1e-6);
    }

    #[test]
    fn mixed_products_are_those_of_rounded_factors() {
        Precision::Mixed.within(|| {
            agree_with_the_definition(|x| half::bf16::from_f32(x).to_f32(), 1e-6);
        });
    }

    #[test]
    fn what_is_not_finite_stays_so_in_mixed_products() {
        Precision::Mixed.within(|| {
            for bits in [0x7fff_ffff, 0xffff_ffff, 0x7f80_0001, 0x7f80_0000] {
                let mut a = values(64, 0.3);
                a[9] = f32::from_bits(bits);
                let mut out = vec![0.0; 64];
                let b = values(64, 0.9);
                write_product(
                    &mut out,
                    Matrix::new(&a, 8, 8),
                    &Factor::new(Matrix::new(&b, 8, 8)),
                );
                assert!(out[8..16].iter().all(|x| !x.is_finite()), "{bits:x}");
                assert!(out[..8].iter().chain(&out[16..]).all(|x| x.is_finite()));
            }
        });
    }

    #[test]
    fn empty_sums_add_nothing_and_are_zero() {
        let b = Factor::new(Matrix::new(&[], 0, 3));
        let mut out = vec![1.0; 6];
        add_product(&mut out, Matrix::new(&[], 2, 0), &b);
        assert_eq!(out, vec![1.0; 6]);
        write_product(&mut out, Matrix::new(&[], 2, 0), &b);
        assert_eq!(out, vec![0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "inner sizes")]
    fn sizes_that_disagree_are_refused() {
        add_product(
            &mut [0.0; 4],
            Matrix::new(&[0.0; 6], 2, 3),
            &Factor::new(Matrix::new(&[0.0; 4], 2, 2)),
        );
    }
}
