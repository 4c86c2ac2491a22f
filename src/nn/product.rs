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

/// The gradients of the factors of `a b`, without one themselves.
pub(super) fn gradients_of_product(
    a: &Tensor,
    b: &Tensor,
    grad: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let grad = &grad.contiguous()?;
    let multiply = |a: &Tensor, b: &Tensor| rounded([a, b], |[a, b]| a.matmul(b));
    Ok((multiply(grad, &b.t()?)?, multiply(&a.t()?, grad)?))
}

/// What `work` makes of two factors; in mixed precision, off the CPU, they are rounded to bfloat16 before and
/// the result is `f32` again.
pub(super) fn rounded(
    factors: [&Tensor; 2],
    work: impl FnOnce([&Tensor; 2]) -> Result<Tensor>,
) -> Result<Tensor> {
    let [a, b] = factors;
    if is_single(a) {
        return work([a, b]);
    }
    let [a, b] = [a.to_dtype(DType::BF16)?, b.to_dtype(DType::BF16)?];
    work([&a, &b])?.to_dtype(DType::F32)
}

/// Whether a product of `a` is not rounded.
fn is_single(a: &Tensor) -> bool {
    a.device().is_cpu() || Precision::of_thread() == Precision::Full
}
