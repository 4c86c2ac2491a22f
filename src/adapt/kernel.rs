//! The similarity of two predictions: `exp(-gamma (1 - cosine) / 2)`.

use faer::{Mat, MatRef, Par};

/// The kernel on unit vectors: in (0, 1], and 1 where they are the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kernel {
    /// How fast similarity falls with distance; above 0.
    pub(super) gamma: f64,
}

/// Points, ready to be compared.
#[derive(Debug)]
pub(super) struct Rows {
    kernel: Kernel,
    /// (points, dim)
    points: Mat<f64>,
}

impl Kernel {
    /// Similarity less one, in [-1, 0]: exact where similarity is nearly 1, as it is for small gammas.
    pub(super) fn less_one(self, cosine: f64) -> f64 {
        (-self.gamma * (1.0 - cosine).max(0.0) / 2.0).exp_m1()
    }

    /// Unit vectors of `dim` numbers, row-major, to be compared with each other.
    pub(super) fn rows(self, points: &[f32], dim: usize) -> Rows {
        let count = points.len() / dim;
        Rows {
            kernel: self,
            points: Mat::from_fn(count, dim, |row, column| {
                f64::from(points[row * dim + column])
            }),
        }
    }
}

impl Rows {
    /// Number of points.
    pub(super) fn len(&self) -> usize {
        self.points.nrows()
    }

    /// Similarity of the first `count` points to those from `start` on, `width` of them: (count, width).
    pub(super) fn features(&self, count: usize, start: usize, width: usize) -> Mat<f64> {
        let first: MatRef<'_, f64> = self.points.subrows(0, count);
        let other = self.points.subrows(start, width);
        let mut features = Mat::zeros(count, width);
        faer::linalg::matmul::matmul(
            features.as_mut(),
            faer::Accum::Replace,
            first,
            other.transpose(),
            1.0,
            Par::rayon(0),
        );
        for column in features.col_iter_mut() {
            for cosine in column.iter_mut() {
                *cosine = 1.0 + self.kernel.less_one(*cosine);
            }
        }
        features
    }
}
