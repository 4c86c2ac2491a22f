//! The layers' operations where the CPU's fused ones do not serve: of candle's own, with a backward pass that keeps
//! little and sums rows by products.
//!
//! candle composes normalisation and softmax of up to ten steps and keeps each of them; and it adds up the rows of
//! a matrix column by column, which on a GPU reads memory an eighth at a time.

use candle_core::{D, Result, Tensor};

use super::product::{gradients_of_product, product};
use super::with_gradient::with_gradient;

/// Softmax over the last dimension.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    with_gradient(
        &[x],
        |x| weights(x[0]),
        |x, grad| {
            let y = weights(x[0])?;
            Ok(vec![Some(through_softmax(&y, grad)?)])
        },
    )
}

fn weights(scores: &Tensor) -> Result<Tensor> {
    candle_nn::ops::softmax_last_dim(&scores.contiguous()?)
}

/// The gradient of what a softmax has made `y` of.
fn through_softmax(y: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let weighted = (y * grad)?;
    let along = y.broadcast_mul(&weighted.sum_keepdim(D::Minus1)?)?;
    weighted - along
}

/// Attention of heads, each (.., tokens, length): the softmax of `query key^T + bias` times `value`. No gradient reaches
/// the bias. The scores, by far the most of it, are not kept.
pub(super) fn attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let bias = bias.map(Tensor::detach);
    let attend = move |query: &Tensor, key: &Tensor| {
        let scores = product(query, &key.t()?)?;
        weights(&match &bias {
            Some(bias) => scores.broadcast_add(bias)?,
            None => scores,
        })
    };
    let again = attend.clone();
    with_gradient(
        &[query, key, value],
        |qkv| product(&attend(qkv[0], qkv[1])?, qkv[2]),
        move |qkv, grad| {
            let (query, key, value) = (qkv[0].detach(), qkv[1].detach(), qkv[2].detach());
            let weights = again(&query, &key)?;
            let (to_weights, to_value) = gradients_of_product(&weights, &value, grad)?;
            let to_scores = through_softmax(&weights, &to_weights)?;
            let (to_query, to_key) = gradients_of_product(&query, &key.t()?, &to_scores)?;
            Ok(vec![Some(to_query), Some(to_key.t()?), Some(to_value)])
        },
    )
}

/// Layer normalisation over the last dimension, then scale and shift.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    with_gradient(
        &[x, weight, bias],
        |it| candle_nn::ops::layer_norm(&it[0].contiguous()?, it[1], it[2], eps as f32),
        move |it, grad| {
            let (x, weight) = (it[0].detach(), it[1].detach());
            let mean = |x: &Tensor| x.mean_keepdim(D::Minus1);
            let centred = x.broadcast_sub(&mean(&x)?)?;
            let deviation = (mean(&centred.sqr()?)? + eps)?.sqrt()?;
            let normal = centred.broadcast_div(&deviation)?;
            let to_weight = sum_rows(&(&normal * grad)?)?;
            let scaled = grad.broadcast_mul(&weight)?;
            let along = normal.broadcast_mul(&mean(&(&scaled * &normal)?)?)?;
            let to_x =
                (scaled.broadcast_sub(&mean(&scaled)?)? - along)?.broadcast_div(&deviation)?;
            Ok(vec![Some(to_x), Some(to_weight), Some(sum_rows(grad)?)])
        },
    )
}

/// `x` (.., n) plus `bias` (n).
pub(super) fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    with_gradient(
        &[x, bias],
        |it| it[0].broadcast_add(it[1]),
        |_, grad| Ok(vec![Some(grad.clone()), Some(sum_rows(grad)?)]),
    )
}

/// The sum over all rows of the last dimension, (n), as a product with ones.
fn sum_rows(x: &Tensor) -> Result<Tensor> {
    let n = x.dim(D::Minus1)?;
    let rows = x.contiguous()?.reshape(((), n))?;
    let ones = Tensor::ones((1, rows.dim(0)?), x.dtype(), x.device())?;
    ones.matmul(&rows)?.reshape(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::agreement::{agrees, random};

    #[test]
    fn softmax_and_its_gradient() {
        agrees(
            &[random(&[3, 5, 17], 1)],
            |v| softmax(&v[0]),
            |v| candle_nn::ops::softmax(v[0].as_tensor(), D::Minus1),
        );
    }

    #[test]
    fn attention_and_its_gradients() {
        let bias = random(&[5, 7], 4).detach();
        let shapes: [&[usize]; 3] = [&[2, 3, 5, 4], &[2, 3, 7, 4], &[2, 3, 7, 6]];
        let vars = [0, 1, 2].map(|at| random(shapes[at], at as u64));
        for bias in [None, Some(&bias)] {
            agrees(
                &vars,
                |v| attention(&v[0], &v[1], &v[2], bias),
                |v| {
                    let mut scores = v[0].matmul(&v[1].t()?)?;
                    if let Some(bias) = bias {
                        scores = scores.broadcast_add(bias)?;
                    }
                    candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v[2])
                },
            );
        }
    }

    #[test]
    fn layer_norm_and_its_gradients() {
        agrees(
            &[random(&[4, 6, 37], 2), random(&[37], 3), random(&[37], 4)],
            |v| layer_norm(&v[0], &v[1], &v[2], 1e-6),
            |v| candle_nn::ops::layer_norm_slow(&v[0], &v[1], &v[2], 1e-6),
        );
    }

    #[test]
    fn bias_and_its_gradients() {
        agrees(
            &[random(&[3, 4, 19], 6), random(&[19], 7)],
            |v| add_bias(&v[0], &v[1]),
            |v| v[0].broadcast_add(v[1].as_tensor()),
        );
    }
}
