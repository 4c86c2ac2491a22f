//! Products in single precision, by the crate gemm.

use super::Matrix;

/// Adds `a b` to `out`, or writes it there. Sizes are checked by the caller, and again here.
pub(super) fn product(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    assert_eq!(a.columns, b.rows);
    assert_eq!(Some(out.len()), a.rows.checked_mul(b.columns));
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
            add,
            a.values.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.values.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            if add { 1f32 } else { 0f32 },
            1f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
