//! Rows of length 1. In (.., n), out the same.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Layout, Result, Shape, Tensor};

use super::ops::{fused, row_length, values};
use crate::numeric::{self, vectorised};

/// Added to squared lengths, so that a row of zeros stays one.
const EPS: f32 = 1e-24;

/// Divides each row of the last dimension by its length.
///
/// # Errors
/// If a tensor operation fails.
pub fn unit_rows(x: &Tensor) -> Result<Tensor> {
    if fused(x) {
        x.contiguous()?.apply_op1(UnitRows)
    } else {
        composed(x)
    }
}

fn composed(x: &Tensor) -> Result<Tensor> {
    let squared = x.sqr()?.sum_keepdim(D::Minus1)?;
    x.broadcast_div(&squared.affine(1.0, f64::from(EPS))?.sqrt()?)
}

#[inline(always)]
fn reciprocal_length(row: &[f32]) -> f32 {
    1.0 / (numeric::dot(row, row) + EPS).sqrt()
}

struct UnitRows;

impl CustomOp1 for UnitRows {
    fn name(&self) -> &'static str {
        "unit-rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout, self.name())?;
        let n = row_length(layout);
        let mut out = vec![0f32; x.len()];
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                    let scale = reciprocal_length(x);
                    for (out, x) in out.iter_mut().zip(x) {
                        *out = x * scale;
                    }
                }
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(
            x.apply_op2_no_bwd(&grad.contiguous()?, &UnitRowsGrad)?,
        ))
    }
}

/// `dx = (g - y <g, y>) / |x|`.
struct UnitRowsGrad;

impl CustomOp2 for UnitRowsGrad {
    fn name(&self) -> &'static str {
        "unit-rows-grad"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout, self.name())?;
        let grad = values(grad, grad_layout, self.name())?;
        let n = row_length(layout);
        let mut out = vec![0f32; x.len()];
        let rows = out
            .chunks_exact_mut(n)
            .zip(x.chunks_exact(n))
            .zip(grad.chunks_exact(n));
        vectorised(
            #[inline(always)]
            || {
                for ((out, x), grad) in rows {
                    let scale = reciprocal_length(x);
                    let along = numeric::dot(grad, x) * scale * scale;
                    for ((out, x), grad) in out.iter_mut().zip(x).zip(grad) {
                        *out = (grad - x * along) * scale;
                    }
                }
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::agreement::{agrees, random};

    #[test]
    fn unit_rows_and_their_gradient() {
        agrees(
            &[random(&[3, 5, 19], 8)],
            |v| unit_rows(&v[0]),
            |v| composed(&v[0]),
        );
    }

    #[test]
    fn a_row_of_zeros_stays_one() {
        let zeros = random(&[2, 3], 1).zeros_like().unwrap();
        let rows: Vec<Vec<f32>> = unit_rows(&zeros).unwrap().to_vec2().unwrap();
        assert_eq!(rows, [[0.0; 3]; 2]);
    }
}
