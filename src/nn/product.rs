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

/// `x w^T`: (n, k) times the transpose of (m, k), with a gradient for both. The product of `x` and `w.t()` is the same, but the
/// gradient of a transpose is turned back by candle, which adds it to zeros number by number.
///
/// # Errors
/// If the shapes disagree.
pub(super) fn product_with_transpose(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    if is_single(x) {
        return x.matmul(&w.t()?);
    }
    with_gradient(
        &[x, w],
        |it| rounded([it[0], it[1]], |[x, w]| x.matmul(&w.t()?)),
        |it, grad| {
            let (to_x, to_w) = gradients_with_transpose(&it[0].detach(), &it[1].detach(), grad)?;
            Ok(vec![Some(to_x), Some(to_w)])
        },
    )
}

/// The gradients of the factors of `a b`, without one themselves.
pub(super) fn gradients_of_product(
    a: &Tensor,
    b: &Tensor,
    grad: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let grad = factor(&grad.contiguous()?)?;
    let to_a = grad.matmul(&factor(b)?.t()?)?;
    let to_b = factor(a)?.t()?.matmul(&grad)?;
    Ok((single(&to_a)?, single(&to_b)?))
}

/// The gradients of the factors of `x w^T`, in order in memory, without one themselves.
fn gradients_with_transpose(x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Tensor, Tensor)> {
    let grad = factor(&grad.contiguous()?)?;
    let to_x = grad.matmul(&factor(w)?)?;
    let to_w = grad.t()?.matmul(&factor(x)?)?;
    Ok((single(&to_x)?, single(&to_w)?))
}

/// What `work` makes of two factors; in mixed precision, off the CPU, they are rounded to bfloat16 before, and the result,
/// which is summed in `f32`, is rounded once and `f32` again.
pub(super) fn rounded(
    factors: [&Tensor; 2],
    work: impl FnOnce([&Tensor; 2]) -> Result<Tensor>,
) -> Result<Tensor> {
    let [a, b] = factors;
    single(&work([&factor(a)?, &factor(b)?])?)
}

/// `x` as a factor of a product. The transpose of what lies in order is rounded in that order: out of it, candle's kernels
/// reckon the place of every number.
fn factor(x: &Tensor) -> Result<Tensor> {
    if is_single(x) {
        return Ok(x.clone());
    }
    if !x.is_contiguous() && x.t()?.is_contiguous() {
        return x.t()?.to_dtype(DType::BF16)?.t();
    }
    x.to_dtype(DType::BF16)
}

fn single(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)
}

/// Whether products of `a` are not rounded.
fn is_single(a: &Tensor) -> bool {
    a.device().is_cpu() || Precision::of_thread() == Precision::Full
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::nn::agreement::{agrees, random};

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

    #[test]
    fn a_product_with_a_transpose_is_that_of_candle() {
        agrees(
            &[random(&[5, 7], 1), random(&[3, 7], 2)],
            |v| product_with_transpose(&v[0], &v[1]),
            |v| v[0].matmul(&v[1].t()?),
        );
    }

    /// On the CPU as well, where candle's own stand in for them.
    #[test]
    fn gradients_of_products_are_those_of_candle() {
        let (a, b, w) = (
            random(&[2, 5, 7], 1),
            random(&[2, 7, 3], 2),
            random(&[2, 3, 7], 3),
        );
        let grad = random(&[2, 5, 3], 4).detach();
        let [in_order, turned] = [b.as_tensor().clone(), w.t().unwrap()];
        for (b, var) in [(in_order, &b), (turned, &w)] {
            let y = a.matmul(&b).unwrap();
            let expected = (y * &grad).unwrap().sum_all().unwrap().backward().unwrap();
            let own = gradients_of_product(&a.detach(), &b.detach(), &grad).unwrap();
            let to_var = if b.is_contiguous() {
                own.1
            } else {
                own.1.t().unwrap()
            };
            is_near(&own.0, expected.get(&a).unwrap());
            is_near(&to_var, expected.get(var).unwrap());
        }
        let y = a.matmul(&w.t().unwrap()).unwrap();
        let expected = (y * &grad).unwrap().sum_all().unwrap().backward().unwrap();
        let own = gradients_with_transpose(&a.detach(), &w.detach(), &grad).unwrap();
        is_near(&own.0, expected.get(&a).unwrap());
        is_near(&own.1, expected.get(&w).unwrap());
        assert!(own.1.is_contiguous());
    }

    fn is_near(found: &Tensor, expected: &Tensor) {
        let difference = (found - expected).unwrap().abs().unwrap();
        let largest: f32 = difference.max_all().unwrap().to_scalar().unwrap();
        assert!(largest < 1e-5, "{largest}");
    }
}
