//! Distances in standard deviations: what is learnt of vectors' covariance.

use faer::{Mat, Side};

use crate::error::{Error, Result};
use crate::numeric;

/// The inverse of a covariance's Cholesky factor: vectors with that covariance become ones whose numbers are
/// independent, of variance 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Whitening {
    dim: usize,
    /// Its lower triangle, column after column: what is added up side by side needs no sum at the end.
    columns: Vec<f32>,
}

impl Whitening {
    /// Of vectors around 0, one a row; to each variance, `ridge` times the mean one is added.
    ///
    /// # Errors
    /// [`Error::Singular`] if the covariance has no inverse within double precision.
    pub(super) fn fit(rows: &Mat<f64>, ridge: f64) -> Result<Self> {
        let dim = rows.ncols();
        let mut covariance = rows.transpose() * rows;
        let trace: f64 = (0..dim).map(|at| covariance[(at, at)]).sum();
        for at in 0..dim {
            covariance[(at, at)] += ridge * trace / dim as f64;
        }
        let factor = covariance.llt(Side::Lower).map_err(|_| Error::Singular)?;
        let mut inverse = Mat::<f64>::identity(dim, dim);
        faer::linalg::triangular_solve::solve_lower_triangular_in_place(
            factor.L(),
            inverse.as_mut(),
            faer::Par::Seq,
        );
        // Of the sum of squares, not of their mean.
        let scale = (rows.nrows() as f64).sqrt();
        Ok(Self {
            dim,
            columns: by_column(dim)
                .map(|place| (scale * inverse[place]) as f32)
                .collect(),
        })
    }

    /// Of the numbers of [`Whitening::triangle`]; what is wrong as text.
    pub(super) fn from_triangle(triangle: &[f32]) -> std::result::Result<Self, String> {
        // n rows hold n (n + 1) / 2 numbers.
        let dim = (2 * triangle.len()).isqrt();
        if dim == 0 || triangle.len() != dim * (dim + 1) / 2 {
            return Err(format!("{} numbers are no triangle", triangle.len()));
        }
        let columns = by_column(dim).map(|(row, column)| triangle[row * (row + 1) / 2 + column]);
        Ok(Self {
            dim,
            columns: columns.collect(),
        })
    }

    /// How many vectors of a dimension are needed to fit it: four for each number.
    pub(super) fn needed(dim: usize) -> usize {
        4 * dim.max(1)
    }

    /// Dimension of the vectors.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// Its lower triangle, row after row.
    pub(super) fn triangle(&self) -> Vec<f32> {
        let places = (0..self.dim).flat_map(|row| (0..=row).map(move |column| (row, column)));
        // A column is as much shorter than the first as there are columns before it.
        let before = |column: usize| column * (2 * self.dim + 1 - column) / 2;
        let number = |(row, column)| self.columns[before(column) + row - column];
        places.map(number).collect()
    }

    /// The squared length of a vector, in variances.
    ///
    /// # Panics
    /// If the vector has another dimension.
    pub(super) fn squared_length(&self, vector: &[f32]) -> f32 {
        assert_eq!(vector.len(), self.dim);
        numeric::vectorised(
            #[inline(always)]
            || {
                let mut whitened = vec![0.0; self.dim];
                let mut rest = self.columns.as_slice();
                for (at, number) in vector.iter().enumerate() {
                    let (column, after) = rest.split_at(self.dim - at);
                    for (sum, factor) in whitened[at..].iter_mut().zip(column) {
                        *sum += number * factor;
                    }
                    rest = after;
                }
                numeric::dot(&whitened, &whitened)
            },
        )
    }
}

/// Row and column of each number of a lower triangle, column after column.
fn by_column(dim: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..dim).flat_map(move |column| (column..dim).map(move |row| (row, column)))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::random;

    #[test]
    fn lengths_are_in_variances() {
        // More numbers than are multiplied side by side, the later ones the larger, and each with a share of the first.
        const DIM: usize = 50;
        let rows = |seed, count: usize| -> Vec<Vec<f32>> {
            let numbers = random::normals(&mut ChaCha8Rng::seed_from_u64(seed), count * DIM);
            let row = |x: &[f32]| {
                (0..DIM)
                    .map(|at| (1 + at) as f32 * (x[at] + x[0]))
                    .collect()
            };
            numbers.chunks_exact(DIM).map(row).collect()
        };
        let known = rows(1, 5000);
        let matrix = Mat::from_fn(known.len(), DIM, |row, at| f64::from(known[row][at]));
        let whitening = Whitening::fit(&matrix, 0.0).unwrap();
        let others = rows(2, 1000);
        let lengths = others
            .iter()
            .map(|it| f64::from(whitening.squared_length(it)));
        let mean = lengths.sum::<f64>() / 1000.0;
        assert!((mean / DIM as f64 - 1.0).abs() < 0.05, "{mean}");
        let triangle = whitening.triangle();
        // The first row is of one number, and what it makes of a vector is of variance 1.
        assert!((triangle[0] * 2.0 - 1.0).abs() < 0.05, "{}", triangle[0]);
        let alike = Whitening::from_triangle(&triangle);
        assert_eq!(alike.unwrap(), whitening);
        for wrong in [0, 2, 1274, 1276] {
            assert!(
                Whitening::from_triangle(&vec![1.0; wrong]).is_err(),
                "{wrong}"
            );
        }
    }
}
