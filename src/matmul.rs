//! Products of matrices of `f32`, on the calling thread alone.
//!
//! candle spreads each product over the pool it is called in and wants tensors; the steps of a
//! convolution work on slices, one worker a core. One of the modules with `unsafe` that ARCHITECTURE.md
//! names.

/// A matrix in a slice, by rows or transposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `values` row by row.
    ///
    /// # Panics
    /// If there are not `rows * columns` values.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        let size = rows.checked_mul(columns);
        assert_eq!(Some(values.len()), size, "{rows} x {columns} values");
        Self {
            values,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// Rows as columns; nothing is moved.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Adds `a b` to `out`, which holds a matrix row by row.
///
/// # Panics
/// If the sizes disagree.
pub(crate) fn add_product(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(a.columns, b.rows, "the inner sizes of a product");
    let size = a.rows.checked_mul(b.columns);
    assert_eq!(Some(out.len()), size, "the size of a product");
    if out.is_empty() || a.columns == 0 {
        return;
    }
    let stride = |stride: usize| isize::try_from(stride).unwrap_or(isize::MAX);
    // SAFETY: gemm reads `a` at r * row_stride + c * column_stride for r < rows and c < columns, which
    // `Matrix` keeps below `values.len()` (asserted when it is made; transposing swaps both sizes with
    // their strides), `b` alike, and reads and writes `out` at r * b.columns + c, below `out.len()` by
    // the assertion above. Strides fit an isize because slices do. `out` is borrowed mutably, so it
    // overlaps neither operand. Every bit pattern is a valid f32.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            stride(b.columns),
            true,
            a.values.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.values.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1f32,
            1f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, factor: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * factor).sin()).collect()
    }

    #[test]
    fn products_are_those_of_the_definition_in_every_orientation() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (17, 33, 9), (64, 40, 65)] {
            let (a, b) = (values(m * k, 0.7), values(k * n, 1.3));
            let mut expected = vec![0.5; m * n];
            for row in 0..m {
                for column in 0..n {
                    for i in 0..k {
                        expected[row * n + column] += a[row * k + i] * b[i * n + column];
                    }
                }
            }
            let flipped = |values: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                (0..rows * columns)
                    .map(|i| values[(i % rows) * columns + i / rows])
                    .collect()
            };
            let (a_t, b_t) = (flipped(&a, m, k), flipped(&b, k, n));
            for a in [Matrix::new(&a, m, k), Matrix::new(&a_t, k, m).transposed()] {
                for b in [Matrix::new(&b, k, n), Matrix::new(&b_t, n, k).transposed()] {
                    let mut out = vec![0.5; m * n];
                    add_product(&mut out, a, b);
                    for (found, expected) in out.iter().zip(&expected) {
                        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn empty_sums_add_nothing() {
        let mut out = vec![1.0; 6];
        add_product(&mut out, Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 3));
        assert_eq!(out, vec![1.0; 6]);
    }

    #[test]
    #[should_panic(expected = "values")]
    fn sizes_that_overflow_are_refused() {
        Matrix::new(&[], 1 << (usize::BITS / 2), 1 << (usize::BITS / 2));
    }

    #[test]
    #[should_panic(expected = "inner sizes")]
    fn sizes_that_disagree_are_refused() {
        add_product(
            &mut [0.0; 4],
            Matrix::new(&[0.0; 6], 2, 3),
            Matrix::new(&[0.0; 4], 2, 2),
        );
    }
}
