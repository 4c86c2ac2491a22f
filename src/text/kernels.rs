//! The steps between BERT's matrix products, each one pass over rows of f32 on the calling thread.
//!
//! candle has these too, but it spreads every element-wise step of a larger tensor over one pool that
//! all threads share and that runs one step at a time, so that workers wait for each other; and its
//! GELU takes the error function number by number. Here a worker stays on its thread, and the loops are
//! plain enough for the compiler to vectorise with whatever the processor has, which `pulp` finds out.

use crate::numeric::{self, vectorised};

/// Adds a bias to each row.
pub(super) fn add_bias(rows: &mut [f32], bias: &[f32]) {
    vectorised(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
            }
        },
    );
}

/// Adds a bias to each row, then takes x * P(N(0, 1) < x) of each number (Hendrycks & Gimpel 2016).
pub(super) fn bias_gelu(rows: &mut [f32], bias: &[f32]) {
    vectorised(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (x, bias) in row.iter_mut().zip(bias) {
                    *x = numeric::gelu(*x + bias);
                }
            }
        },
    );
}

/// The softmax of a row; part of a caller's [`vectorised`] loop.
#[inline(always)]
pub(super) fn softmax(row: &mut [f32]) {
    let top = numeric::largest(row);
    row.iter_mut().for_each(|x| *x = numeric::exp(*x - top));
    let share = 1.0 / numeric::sum(row);
    row.iter_mut().for_each(|x| *x *= share);
}

/// Adds a bias and a second row to each row, then normalises it (Ba 2016).
pub(super) struct AddNorm {
    pub(super) bias: Vec<f32>,
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) eps: f32,
}

impl AddNorm {
    /// `others` has as many rows as `rows`.
    pub(super) fn apply(&self, rows: &mut [f32], others: &[f32]) {
        let len = self.bias.len();
        debug_assert_eq!(rows.len(), others.len());
        vectorised(
            #[inline(always)]
            || {
                for (row, other) in rows.chunks_exact_mut(len).zip(others.chunks_exact(len)) {
                    for ((x, other), bias) in row.iter_mut().zip(other).zip(&self.bias) {
                        *x += other + bias;
                    }
                    let mean = numeric::sum(row) / len as f32;
                    row.iter_mut().for_each(|x| *x -= mean);
                    let variance = numeric::sum_of(row, |x| x * x) / len as f32;
                    let inverse = 1.0 / (variance + self.eps).sqrt();
                    for ((x, scale), shift) in row.iter_mut().zip(&self.scale).zip(&self.shift) {
                        *x = *x * inverse * scale + shift;
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` numbers from `from` on, up to `to`.
    fn sweep(from: f64, to: f64, count: usize) -> Vec<f32> {
        let step = (to - from) / count as f64;
        (0..count)
            .map(|n| (from + step * n as f64) as f32)
            .collect()
    }

    /// The largest difference to the exact result.
    fn error(found: &[f32], exact: impl IntoIterator<Item = f64>) -> f64 {
        let pairs = found.iter().zip(exact);
        pairs
            .map(|(&found, exact)| (f64::from(found) - exact).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn gelu_is_the_exact_one() {
        let xs = sweep(-12.0, 12.0, 100_000);
        let wide = candle_core::Tensor::new(&xs[..], &candle_core::Device::Cpu).unwrap();
        let exact = wide
            .to_dtype(candle_core::DType::F64)
            .unwrap()
            .gelu_erf()
            .unwrap();
        let mut found: Vec<f32> = xs.iter().map(|x| x - 0.5).collect();
        bias_gelu(&mut found, &[0.5; 100]);
        // At 12, neighbours in f32 are 1e-6 apart.
        let error = error(&found, exact.to_vec1::<f64>().unwrap());
        assert!(error < 3e-6, "{error}");
    }

    #[test]
    fn softmax_is_the_exact_one() {
        for (from, to) in [(-3.0, 3.0), (-400.0, 400.0), (1e4, 1.1e4)] {
            for row in sweep(from, to, 10_000).chunks_mut(100) {
                let top = f64::from(row[99]);
                let exps: Vec<f64> = row.iter().map(|x| (f64::from(*x) - top).exp()).collect();
                let sum: f64 = exps.iter().sum();
                softmax(row);
                let error = error(row, exps.iter().map(|x| x / sum));
                assert!(error < 1e-6, "{error}");
            }
        }
        let mut one = [5f32];
        softmax(&mut one);
        assert_eq!(one, [1.0]);
    }

    #[test]
    fn add_norm_is_the_exact_one() {
        let mut xs: Vec<f32> = (0..10_000).map(|i| (i as f32 * 0.37).sin() * 4.0).collect();
        let others: Vec<f32> = (0..10_000).map(|i| (i as f32 * 0.11).cos()).collect();
        let op = AddNorm {
            bias: vec![0.5; 100],
            scale: vec![2.0; 100],
            shift: vec![-1.0; 100],
            eps: 1e-12,
        };
        let sums: Vec<f64> = xs
            .iter()
            .zip(&others)
            .map(|(x, y)| f64::from(*x) + f64::from(*y) + 0.5)
            .collect();
        op.apply(&mut xs, &others);
        for (row, sums) in xs.chunks(100).zip(sums.chunks(100)) {
            let mean = sums.iter().sum::<f64>() / 100.0;
            let variance = sums.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 100.0;
            let exact = sums
                .iter()
                .map(|x| (x - mean) / variance.sqrt() * 2.0 - 1.0);
            assert!(error(row, exact) < 2e-5);
        }
    }

    #[test]
    fn biases_are_added_to_every_row() {
        let mut rows = [1.0, 2.0, 3.0, 4.0];
        add_bias(&mut rows, &[0.5, -1.0]);
        assert_eq!(rows, [1.5, 1.0, 3.5, 3.0]);
    }
}
