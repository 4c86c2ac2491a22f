//! Ridge regression in its dual form, as scikit-learn's `KernelRidge` with a linear kernel solves it:
//! weights `F^T (F F^T + alpha I)^-1 Y`.
//!
//! `F`, the similarity of centroids to all points, is large; it is made in slabs of columns, twice, and
//! never held as a whole.

use std::ops::ControlFlow;

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, Par, Side};

use super::kernel::Rows;
use crate::error::{Error, Result};

/// A regression on similarities.
#[derive(Debug)]
pub(super) struct Ridge<'a> {
    /// Centroids first, then the other points.
    pub(super) rows: &'a Rows,
    /// The penalty; above 0.
    pub(super) alpha: f64,
    /// Columns of `F` made at once; above 0.
    pub(super) slab: usize,
}

impl Ridge<'_> {
    /// Weights (points, outputs) for which the first points' similarity to all of them comes nearest to
    /// `labels` (first points, outputs). `observe` is told of slabs gone through, of how many.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks, [`Error::Singular`] if `F F^T + alpha I` is not
    /// positive definite within double precision.
    pub(super) fn fit(
        &self,
        labels: &Mat<f64>,
        observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Mat<f64>> {
        let count = labels.nrows();
        let slabs: Vec<(usize, usize)> = (0..self.rows.len())
            .step_by(self.slab)
            .map(|start| (start, self.slab.min(self.rows.len() - start)))
            .collect();
        let mut look = |done: usize| match observe(done, 2 * slabs.len()) {
            ControlFlow::Break(()) => Err(Error::Cancelled),
            ControlFlow::Continue(()) => Ok(()),
        };
        let mut gram: Mat<f64> = Mat::zeros(count, count);
        for (number, &(start, width)) in slabs.iter().enumerate() {
            look(number)?;
            let features = self.rows.features(count, start, width);
            let turned = features.transpose();
            let par = Par::rayon(0);
            matmul(
                gram.as_mut(),
                Accum::Add,
                features.as_ref(),
                turned,
                1.0,
                par,
            );
        }
        for place in 0..count {
            gram[(place, place)] += self.alpha;
        }
        look(slabs.len())?;
        let factor = gram.llt(Side::Lower).map_err(|_| Error::Singular)?;
        let dual = factor.solve(labels);
        let mut weights = Mat::zeros(self.rows.len(), labels.ncols());
        for (number, &(start, width)) in slabs.iter().enumerate() {
            look(slabs.len() + number)?;
            let features = self.rows.features(count, start, width);
            matmul(
                weights.subrows_mut(start, width),
                Accum::Replace,
                features.transpose(),
                dual.as_ref(),
                1.0,
                Par::rayon(0),
            );
        }
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::kernel::Kernel;
    use super::*;
    use crate::random;

    #[test]
    fn slabs_of_any_width_give_the_same_weights() {
        let points = random::normals(&mut ChaCha8Rng::seed_from_u64(1), 50 * 8);
        let rows = Kernel { gamma: 0.5 }.rows(&points, 8);
        let labels = Mat::from_fn(30, 3, |row, column| ((row * 3 + column) as f64).sin());
        let fit = |slab| {
            let (rows, alpha) = (&rows, 0.1);
            let ridge = Ridge { rows, alpha, slab };
            ridge
                .fit(&labels, &mut |_, _| ControlFlow::Continue(()))
                .unwrap()
        };
        let whole = fit(50);
        assert_eq!((whole.nrows(), whole.ncols()), (50, 3));
        for slab in [1, 7, 49] {
            assert!((fit(slab) - &whole).norm_max() < 1e-9, "{slab}");
        }
        let ridge = Ridge {
            rows: &rows,
            alpha: 0.1,
            slab: 7,
        };
        let mut looks = 0;
        let stopped = ridge.fit(&labels, &mut |_, total| {
            looks += 1;
            assert_eq!(total, 16);
            if looks == 12 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}
