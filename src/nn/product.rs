//! Products of tensors, in the precision of the thread where the device multiplies bfloat16 itself.
//!
//! On the CPU attention's products stay single: they are a small part of a step, and what is a large part
//! goes through [`conv`](super::conv), which rounds for itself.

use candle_core::{DType, Result, Tensor};

use super::with_gradient::with_gradient;
use crate::matmul::Precision;

/// `a b`: (.., n, k) times (.., k, m), with a gradient for both.
///
/// # Errors
/// If the shapes disagree.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if is_single(a) {
        return a.matmul(b);
    }
    // What is rounded is not kept.
    with_gradient(
        &[a, b],
        |it| rounded([it[0], it[1]], |[a, b]| a.matmul(b)),
        |it, grad| {
            let (to_a, to_b) = gradients_of_product(&it[0].detach(), &it[1].detach(), grad)?;
            Ok(vec![Some(to_a), Some(to_b)])
        },
    )
}

/// The gradients of the factors of `a b`, without one themselves; that of `b` lies in memory as `b` does, so that the gradient
/// of what `b` is the transpose of lies in order.
pub(super) fn gradients_of_product(
    a: &Tensor,
    b: &Tensor,
    grad: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let grad = &grad.contiguous()?;
    let multiply = |a: &Tensor, b: &Tensor| rounded([a, b], |[a, b]| a.matmul(b));
    let to_b = if b.is_contiguous() {
        multiply(&a.t()?, grad)?
    } else {
        multiply(&grad.t()?, a)?.t()?
    };
    Ok((multiply(grad, &b.t()?)?, to_b))
}

/// What `work` makes of two factors; in mixed precision, off the CPU, they are rounded to bfloat16 before, and the result,
/// which is summed in `f32`, is rounded once and `f32` again.
pub(super) fn rounded(
    factors: [&Tensor; 2],
    work: impl FnOnce([&Tensor; 2]) -> Result<Tensor>,
) -> Result<Tensor> {
    let [a, b] = factors;
    if is_single(a) {
        return work([a, b]);
    }
    work([&halved(a)?, &halved(b)?])?.to_dtype(DType::F32)
}

/// `x` in bfloat16. The transpose of what lies in order is rounded in that order: devices read memory in order many times as
/// fast, and products take either.
fn halved(x: &Tensor) -> Result<Tensor> {
    let turned = x.t()?;
    if !x.is_contiguous() && turned.is_contiguous() {
        return turned.to_dtype(DType::BF16)?.t();
    }
    x.to_dtype(DType::BF16)
}

/// Whether a product of `a` is not rounded.
fn is_single(a: &Tensor) -> bool {
    a.device().is_cpu() || Precision::of_thread() == Precision::Full
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::nn::agreement::random;

    /// Value and gradients of a product in a precision, each as one row.
    fn parts(vars: &[Var; 2], precision: Precision) -> Vec<Vec<f32>> {
        precision.within(|| {
            let y = product(&vars[0], &vars[1]).unwrap();
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let gradients = vars.iter().map(|var| gradients.get(var).unwrap());
            let all = std::iter::once(&y).chain(gradients);
            all.map(|it| it.flatten_all().unwrap().to_vec1().unwrap())
                .collect()
        })
    }

    #[test]
    fn mixed_products_are_near_full_ones_and_rounded_off_the_cpu_alone() {
        let vars = [random(&[2, 40, 64], 1), random(&[2, 64, 30], 2)];
        let [full, mixed] = Precision::ALL.map(|precision| parts(&vars, precision));
        assert_eq!(full == mixed, vars[0].device().is_cpu());
        for (full, mixed) in full.iter().zip(&mixed) {
            let size = full.iter().fold(0f32, |most, x| most.max(x.abs()));
            for (full, mixed) in full.iter().zip(mixed) {
                // Eight bits of a number are kept, here of factors and result.
                assert!((full - mixed).abs() < size * 3.0 / 256.0, "{full} {mixed}");
            }
        }
    }
}
