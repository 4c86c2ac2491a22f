//! Products of a few rows with the weights of a layer, as one text after the other is written: putting large weights into
//! panels, as gemm does, takes longer than such a product, which need not do more than read them once.

use super::Matrix;
use crate::numeric;

/// Rows from which on panels are worth their while.
pub(super) const MAX_ROWS: usize = 4;

/// Adds `a b` to `out`, or writes it there. The rows of `a` and the columns of `b` lie in one piece each.
pub(super) fn product(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    numeric::vectorised(
        #[inline(always)]
        || {
            for at in 0..b.columns {
                let column = &b.values[at * b.column_stride..][..b.rows];
                for row in 0..a.rows {
                    let own = &a.values[row * a.row_stride..][..a.columns];
                    let sum = numeric::dot(own, column);
                    let place = &mut out[row * b.columns + at];
                    *place = if add { *place + sum } else { sum };
                }
            }
        },
    );
}
