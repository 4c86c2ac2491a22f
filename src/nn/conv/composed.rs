//! The convolution composed of candle's differentiable operations, for what the CPU's own operation does not serve.
//!
//! Where a gradient is wanted, neighbours are gathered into rows and multiplied: the backward pass is then
//! products as well. candle's own convolution gathers less and is taken where there is none; its backward pass
//! adds up every input's gradient by itself, which on a GPU takes many times what products take.

use candle_core::{Result, Tensor, Var};

use super::gather::Geometry;
use crate::nn::product::{gradients_of_product, product, rounded};
use crate::nn::with_gradient::with_gradient;

/// `x` (batch, height, width, inputs) with `weight` (outputs, inputs, kernel, kernel), whose sizes agree.
pub(super) fn conv2d(x: &Tensor, weight: &Tensor, geometry: &Geometry) -> Result<Tensor> {
    let config = geometry.config;
    let single = config.kernel == 1 && config.stride == 1;
    if !single && !x.track_op() && !weight.track_op() {
        return rounded([x, weight], |[x, weight]| {
            let x = padded(x, config.pad_before, config.pad_after)?;
            x.permute((0, 3, 1, 2))?
                .contiguous()?
                .conv2d(weight, 0, config.stride, 1, 1)?
                .permute((0, 2, 3, 1))?
                .contiguous()
        });
    }
    // Rows are many times what they are gathered from: they are not kept.
    let geometry = *geometry;
    with_gradient(
        &[x, weight],
        move |it| {
            let outputs = it[1].dim(0)?;
            let rows = gathered(it[0], &geometry)?;
            product(&rows, &matrix(it[1])?)?.reshape((
                geometry.batch,
                geometry.out_height,
                geometry.out_width,
                outputs,
            ))
        },
        move |it, grad| {
            let (x, weight) = (Var::from_tensor(&it[0].detach())?, it[1].detach());
            let (outputs, inputs, height, width) = weight.dims4()?;
            let rows = gathered(&x, &geometry)?;
            let grad = grad.reshape(((), outputs))?;
            let (to_rows, to_matrix) =
                gradients_of_product(&rows.detach(), &matrix(&weight)?, &grad)?;
            let to_x = (rows * to_rows)?.sum_all()?.backward()?.remove(&x);
            let to_weight = to_matrix
                .t()?
                .reshape((outputs, height, width, inputs))?
                .permute((0, 3, 1, 2))?
                .contiguous()?;
            Ok(vec![to_x, Some(to_weight)])
        },
    )
}

/// (outputs, inputs, kernel, kernel) as the right factor of gathered rows: (kernel row, kernel column, input) by outputs.
fn matrix(weight: &Tensor) -> Result<Tensor> {
    let outputs = weight.dim(0)?;
    weight.permute((0, 2, 3, 1))?.reshape((outputs, ()))?.t()
}

/// Zeros around every image.
fn padded(x: &Tensor, before: usize, after: usize) -> Result<Tensor> {
    x.pad_with_zeros(1, before, after)?
        .pad_with_zeros(2, before, after)
}

/// What the kernel sees at every position of the output, a row each: (kernel row, kernel column, channel).
fn gathered(x: &Tensor, geometry: &Geometry) -> Result<Tensor> {
    let config = geometry.config;
    // Strides are taken by splitting lines into pieces of their length, so that the last piece must be whole.
    let x = padded(x, config.pad_before, config.pad_after + config.stride - 1)?;
    let offsets =
        (0..config.kernel).flat_map(|row| (0..config.kernel).map(move |column| (row, column)));
    let seen: Vec<Tensor> = offsets
        .map(|(row, column)| {
            let x = every(&x, 1, row, geometry.out_height, config.stride)?;
            every(&x, 2, column, geometry.out_width, config.stride)?.contiguous()
        })
        .collect::<Result<_>>()?;
    Tensor::cat(&seen, 3)?.reshape(((), geometry.row()))
}

/// `count` entries of a dimension, from `start`, each `stride` after the one before.
fn every(x: &Tensor, dim: usize, start: usize, count: usize, stride: usize) -> Result<Tensor> {
    let x = x.narrow(dim, start, count * stride)?;
    if stride == 1 {
        return Ok(x);
    }
    let mut pieces = x.dims().to_vec();
    pieces.splice(dim..=dim, [count, stride]);
    x.reshape(pieces)?.narrow(dim + 1, 0, 1)?.squeeze(dim + 1)
}

#[cfg(test)]
mod tests {
    use super::super::ConvConfig;
    use super::*;
    use crate::nn::agreement::{agrees, random};

    const CONFIGS: [ConvConfig; 4] = [
        ConvConfig::POINTWISE,
        ConvConfig::SAME,
        ConvConfig::HALVE,
        ConvConfig {
            kernel: 3,
            stride: 2,
            pad_before: 0,
            pad_after: 1,
        },
    ];

    fn variables(config: ConvConfig) -> [Var; 2] {
        [
            random(&[2, 6, 8, 3], 1),
            random(&[4, 3, config.kernel, config.kernel], 2),
        ]
    }

    fn composed(x: &Tensor, weight: &Tensor, config: ConvConfig) -> Result<Tensor> {
        conv2d(x, weight, &Geometry::new(x.dims4()?, config)?)
    }

    #[test]
    fn value_and_gradients_are_those_of_candle() {
        for config in CONFIGS {
            agrees(
                &variables(config),
                |v| composed(&v[0], &v[1], config),
                |v| {
                    let x = padded(&v[0], config.pad_before, config.pad_after)?;
                    x.permute((0, 3, 1, 2))?
                        .conv2d(&v[1], 0, config.stride, 1, 1)?
                        .permute((0, 2, 3, 1))
                },
            );
        }
    }

    #[test]
    fn values_are_the_same_where_no_gradient_is_wanted() {
        for config in CONFIGS {
            let [x, weight] = variables(config);
            let with = composed(&x, &weight, config).unwrap();
            let without = composed(&x.detach(), &weight.detach(), config).unwrap();
            let difference = (with - without).unwrap().abs().unwrap();
            let largest: f32 = difference
                .flatten_all()
                .unwrap()
                .max(0)
                .unwrap()
                .to_scalar()
                .unwrap();
            assert!(largest < 1e-4, "{config:?}: {largest}");
        }
    }
}
