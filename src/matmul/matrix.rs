//! A matrix in a slice.

/// A matrix in a slice, by rows or transposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// From a number to the one below it: the number of columns, or 1 if the matrix is transposed.
    pub(super) row_stride: usize,
    /// From a number to the one right of it: 1, or the number of rows if the matrix is transposed.
    pub(super) column_stride: usize,
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

    /// Whether rows, and not columns, lie in one piece.
    pub(super) fn is_by_rows(&self) -> bool {
        self.column_stride == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "values")]
    fn sizes_that_overflow_are_refused() {
        Matrix::new(&[], 1 << (usize::BITS / 2), 1 << (usize::BITS / 2));
    }
}
