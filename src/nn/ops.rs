//! Row-wise operations with a hand-written backward pass, fused on the CPU.
//!
//! Each works on contiguous `f32` rows of the last dimension. On other devices and types the same
//! value is composed of candle's differentiable operations.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, DType, Layout, Result, Shape, Tensor,
};

use super::on_device;
use crate::numeric::{self, vectorised};

/// Softmax over the last dimension. In (.., n), out the same, rows that sum to 1.
///
/// # Errors
/// If a tensor operation fails.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if fused(x) {
        x.contiguous()?.apply_op1(Softmax)
    } else {
        on_device::softmax(x)
    }
}

/// Attention of heads (Vaswani et al., 2017, s. 3.2): the softmax of `query key^T + bias`, times `value`. In (.., tokens,
/// length), (.., source tokens, length) and (.., source tokens, width), out (.., tokens, width); what is added to the
/// scores broadcasts over (.., tokens, source tokens), and no gradient reaches it.
///
/// # Errors
/// If the shapes disagree.
pub fn attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    if !fused(query) {
        return on_device::attention(query, key, value, bias);
    }
    let mut scores = query.matmul(&key.t()?)?;
    if let Some(bias) = bias {
        scores = scores.broadcast_add(&bias.detach())?;
    }
    softmax(&scores)?.matmul(value)
}

/// Layer normalisation over the last dimension (Ba et al., 2016), then scale and shift.
/// In (.., n), out the same; `weight` and `bias` are (n).
///
/// # Errors
/// If the shapes disagree.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    if fused(x) {
        x.contiguous()?
            .apply_op3(weight, bias, LayerNorm { eps: eps as f32 })
    } else {
        on_device::layer_norm(x, weight, bias, eps)
    }
}

/// `a * x + b * y`, without a gradient.
///
/// # Errors
/// If the shapes disagree.
pub(crate) fn weighted_sum(x: &Tensor, a: f64, y: &Tensor, b: f64) -> Result<Tensor> {
    if fused(x) {
        let op = WeightedSum {
            a: a as f32,
            b: b as f32,
        };
        x.contiguous()?.apply_op2_no_bwd(&y.contiguous()?, &op)
    } else {
        (x * a)? + (y * b)?
    }
}

/// `x` (.., n) plus `bias`: (n), or (batch, n) with a row for each entry of the first dimension of `x`.
///
/// # Errors
/// If the shapes disagree.
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if fused(x) {
        return x.contiguous()?.apply_op2(&bias.contiguous()?, AddBias);
    }
    if bias.rank() < 2 {
        return on_device::add_bias(x, bias);
    }
    let (batch, n) = bias.dims2()?;
    x.reshape((batch, (), n))?
        .broadcast_add(&bias.unsqueeze(1)?)?
        .reshape(x.shape())
}

/// The sum over all rows of the last dimension, (n), without a gradient.
pub(crate) fn sum_rows(x: &Tensor) -> Result<Tensor> {
    let n = x.dim(D::Minus1)?;
    sum_blocks(x, 1)?.reshape(n)
}

/// The sums over the rows of each of `blocks` equal blocks, (blocks, n), without a gradient.
fn sum_blocks(x: &Tensor, blocks: usize) -> Result<Tensor> {
    let n = x.dim(D::Minus1)?;
    if fused(x) {
        x.contiguous()?.apply_op1_no_bwd(&SumRows { blocks, n })
    } else {
        x.reshape((blocks, (), n))?.sum(1)
    }
}

/// Whether `x` takes the fused operations.
pub(crate) fn fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The contiguous `f32` values of an operand.
pub(crate) fn values<'a>(
    storage: &'a CpuStorage,
    layout: &Layout,
    op: &'static str,
) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => Err(candle_core::Error::RequiresContiguous { op }.bt()),
    }
}

/// The length of the last dimension.
pub(crate) fn row_length(layout: &Layout) -> usize {
    layout.dims().last().copied().unwrap_or(1).max(1)
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout, self.name())?;
        let n = row_length(layout);
        let mut out = vec![0f32; x.len()];
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                    let max = numeric::largest(x);
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = numeric::exp(x - max);
                    }
                    let scale = 1.0 / numeric::sum(out);
                    out.iter_mut().for_each(|out| *out *= scale);
                }
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, result: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(
            result.apply_op2_no_bwd(&grad.contiguous()?, &SoftmaxGrad)?,
        ))
    }
}

/// `dx = y * (g - <g, y>)`.
struct SoftmaxGrad;

impl CustomOp2 for SoftmaxGrad {
    fn name(&self) -> &'static str {
        "softmax-grad"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = values(y, layout, self.name())?;
        let g = values(g, g_layout, self.name())?;
        let n = row_length(layout);
        let mut out = vec![0f32; y.len()];
        let rows = out
            .chunks_exact_mut(n)
            .zip(y.chunks_exact(n))
            .zip(g.chunks_exact(n));
        vectorised(
            #[inline(always)]
            || {
                for ((out, y), g) in rows {
                    let dot = numeric::dot(y, g);
                    for ((out, y), g) in out.iter_mut().zip(y).zip(g) {
                        *out = y * (g - dot);
                    }
                }
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout, self.name())?;
        let weight = values(weight, weight_layout, self.name())?;
        let bias = values(bias, bias_layout, self.name())?;
        let n = row_length(layout);
        same_length(n, weight.len(), self.name())?;
        same_length(n, bias.len(), self.name())?;
        let mut out = vec![0f32; x.len()];
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                    let (mean, scale) = moments(x, self.eps);
                    for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
                        *out = (x - mean) * scale * weight + bias;
                    }
                }
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let op = LayerNormGrad { eps: self.eps };
        let all = x.apply_op3_no_bwd(weight, &grad.contiguous()?, &op)?;
        let (count, n) = (x.elem_count(), weight.elem_count());
        let dx = all.narrow(0, 0, count)?.reshape(x.shape())?;
        let dweight = all.narrow(0, count, n)?;
        let dbias = all.narrow(0, count + n, n)?;
        Ok((Some(dx), Some(dweight), Some(dbias)))
    }
}

/// The gradients of x, weight and bias, one after the other in one flat tensor.
struct LayerNormGrad {
    eps: f32,
}

impl CustomOp3 for LayerNormGrad {
    fn name(&self) -> &'static str {
        "layer-norm-grad"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout, self.name())?;
        let weight = values(weight, weight_layout, self.name())?;
        let grad = values(grad, grad_layout, self.name())?;
        let n = row_length(layout);
        let mut out = vec![0f32; x.len() + 2 * n];
        let (dx, rest) = out.split_at_mut(x.len());
        let (dweight, dbias) = rest.split_at_mut(n);
        let mut normed = vec![0f32; n];
        let rows = dx
            .chunks_exact_mut(n)
            .zip(x.chunks_exact(n))
            .zip(grad.chunks_exact(n));
        vectorised(
            #[inline(always)]
            || {
                for ((dx, x), grad) in rows {
                    let (mean, scale) = moments(x, self.eps);
                    for (normed, x) in normed.iter_mut().zip(x) {
                        *normed = (x - mean) * scale;
                    }
                    let sums = dweight.iter_mut().zip(dbias.iter_mut());
                    for (((dweight, dbias), grad), normed) in sums.zip(grad).zip(&normed) {
                        *dweight += grad * normed;
                        *dbias += grad;
                    }
                    for ((dx, grad), weight) in dx.iter_mut().zip(grad).zip(weight) {
                        *dx = grad * weight;
                    }
                    let mean_grad = numeric::sum(dx) / n as f32;
                    let mean_grad_normed = numeric::dot(dx, &normed) / n as f32;
                    for (dx, normed) in dx.iter_mut().zip(&normed) {
                        *dx = scale * (*dx - mean_grad - normed * mean_grad_normed);
                    }
                }
            },
        );
        let length = out.len();
        Ok((CpuStorage::F32(out), Shape::from(length)))
    }
}

/// Mean and reciprocal standard deviation of a row.
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = numeric::sum(x) / n;
    let variance = numeric::sum_of(x, |x| (x - mean) * (x - mean)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

pub(crate) fn same_length(expected: usize, found: usize, op: &'static str) -> Result<()> {
    if expected == found {
        Ok(())
    } else {
        candle_core::bail!("{op}: rows have {expected} values, the parameter has {found}")
    }
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout, self.name())?;
        let bias = values(bias, bias_layout, self.name())?;
        let n = row_length(layout);
        same_length(n, row_length(bias_layout), self.name())?;
        let blocks = bias.len() / n;
        if blocks > 1 && layout.dims().first() != Some(&blocks) {
            candle_core::bail!("{blocks} rows of bias for {:?}", layout.dims());
        }
        let block = (x.len() / blocks.max(1)).max(1);
        let mut out = Vec::with_capacity(x.len());
        for (x, bias) in x.chunks_exact(block).zip(bias.chunks_exact(n)) {
            for x in x.chunks_exact(n) {
                out.extend(x.iter().zip(bias).map(|(x, bias)| x + bias));
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let blocks = bias.elem_count() / bias.dim(D::Minus1)?.max(1);
        let dbias = sum_blocks(&grad, blocks)?.reshape(bias.shape())?;
        Ok((Some(grad), Some(dbias)))
    }
}

/// The sum over the rows of length `n` of each of `blocks` equal blocks.
struct SumRows {
    blocks: usize,
    n: usize,
}

impl CustomOp1 for SumRows {
    fn name(&self) -> &'static str {
        "sum-rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout, self.name())?;
        let n = self.n.max(1);
        let mut out = vec![0f32; self.blocks * self.n];
        let block = (x.len() / self.blocks.max(1)).max(1);
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(block)) {
                    for row in x.chunks_exact(n) {
                        out.iter_mut().zip(row).for_each(|(out, x)| *out += x);
                    }
                }
            },
        );
        Ok((CpuStorage::F32(out), Shape::from((self.blocks, self.n))))
    }
}

struct WeightedSum {
    a: f32,
    b: f32,
}

impl CustomOp2 for WeightedSum {
    fn name(&self) -> &'static str {
        "weighted-sum"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout, self.name())?;
        let y = values(y, y_layout, self.name())?;
        same_length(x.len(), y.len(), self.name())?;
        let out = x
            .iter()
            .zip(y)
            .map(|(x, y)| self.a * x + self.b * y)
            .collect();
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
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
        agrees(
            &[random(&[3, 4, 5, 19], 6), random(&[3, 19], 7)],
            |v| add_bias(&v[0], &v[1]),
            |v| v[0].broadcast_add(&v[1].reshape((3, 1, 1, 19))?),
        );
    }
}
