//! The convolution as an operation with a hand-written backward pass.
//!
//! candle's own on the CPU is two to eight times slower (it neither blocks for the cache nor reuses
//! gathered rows in the backward pass). On other devices the same value is [`composed`].

use std::borrow::Cow;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::{ConvConfig, Geometry, composed};
use crate::matmul::{Factor, Matrix, add_product, write_product};
use crate::nn::ops::{self, values};

/// Convolves `x` (batch, height, width, inputs) with `weight` (outputs, inputs, kernel, kernel) and
/// adds `bias` (outputs).
pub(super) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    config: ConvConfig,
) -> Result<Tensor> {
    let geometry = Geometry::new(x.dims4()?, config)?;
    let (outputs, inputs, height, width) = weight.dims4()?;
    if (inputs, height, width) != (geometry.channels, config.kernel, config.kernel)
        || bias.dims() != [outputs]
    {
        candle_core::bail!(
            "a convolution of {:?} with {:?} and {:?}",
            x.dims(),
            weight.dims(),
            bias.dims()
        );
    }
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return x.contiguous()?.apply_op3(weight, bias, Conv { geometry });
    }
    ops::add_bias(&composed::conv2d(x, weight, &geometry)?, bias)
}

/// Rows `x` (rows, inputs) times the transposed `weight` (outputs, inputs), plus `bias` (outputs): a
/// convolution of one line with 1 x 1 kernels. On the CPU only.
pub(in crate::nn) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (rows, inputs) = x.dims2()?;
    let (outputs, _) = weight.dims2()?;
    let x = x.reshape((1, 1, rows, inputs))?;
    let weight = weight.reshape((outputs, inputs, 1, 1))?;
    conv2d(&x, &weight, bias, ConvConfig::POINTWISE)?.reshape((rows, outputs))
}

/// (outputs, inputs, kernel, kernel) to (outputs, kernel, kernel, inputs).
fn channels_last<'a>(weight: &'a [f32], geometry: &Geometry) -> Cow<'a, [f32]> {
    if area(geometry) == 1 {
        return Cow::Borrowed(weight);
    }
    let mut out = vec![0f32; weight.len()];
    transpose_each(weight, &mut out, geometry.channels, area(geometry));
    Cow::Owned(out)
}

fn area(geometry: &Geometry) -> usize {
    geometry.config.kernel * geometry.config.kernel
}

/// Transposes every (rows, columns) matrix in `from`.
fn transpose_each(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    let size = (rows * columns).max(1);
    for (from, to) in from.chunks_exact(size).zip(to.chunks_exact_mut(size)) {
        for (row, values) in from.chunks_exact(columns).enumerate() {
            for (column, value) in values.iter().enumerate() {
                to[column * rows + row] = *value;
            }
        }
    }
}

struct Conv {
    geometry: Geometry,
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        "conv2d"
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
        let geometry = &self.geometry;
        let x = values(x, layout, self.name())?;
        let weight = channels_last(values(weight, weight_layout, self.name())?, geometry);
        let bias = values(bias, bias_layout, self.name())?;
        let (outputs, row) = (bias.len(), geometry.row());
        let weight = Factor::new(Matrix::new(&weight, outputs, row).transposed());
        let mut out = bias.repeat(geometry.lines() * geometry.out_width);
        if geometry.is_identity() {
            add_product(&mut out, Matrix::new(x, x.len() / row.max(1), row), &weight);
        } else {
            let mut rows = vec![];
            for lines in geometry.chunks() {
                geometry.gather(x, lines.clone(), &mut rows);
                let positions = lines.len() * geometry.out_width;
                let start = lines.start * geometry.out_width * outputs;
                add_product(
                    &mut out[start..start + positions * outputs],
                    Matrix::new(&rows, positions, row),
                    &weight,
                );
            }
        }
        let shape = (
            geometry.batch,
            geometry.out_height,
            geometry.out_width,
            outputs,
        );
        Ok((CpuStorage::F32(out), Shape::from(shape)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let geometry = self.geometry;
        let grad = grad.contiguous()?;
        // Pixels and frozen weights want no gradient.
        let dx = x
            .track_op()
            .then(|| weight.apply_op2_no_bwd(&grad, &InputGrad { geometry }))
            .transpose()?;
        let dweight = weight
            .track_op()
            .then(|| x.apply_op2_no_bwd(&grad, &WeightGrad { geometry }))
            .transpose()?;
        let dbias = bias.track_op().then(|| ops::sum_rows(&grad)).transpose()?;
        Ok((dx, dweight, dbias))
    }
}

/// From weight and the output's gradient, the input's.
struct InputGrad {
    geometry: Geometry,
}

impl CustomOp2 for InputGrad {
    fn name(&self) -> &'static str {
        "conv2d-input-grad"
    }

    fn cpu_fwd(
        &self,
        weight: &CpuStorage,
        weight_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = &self.geometry;
        let weight = channels_last(values(weight, weight_layout, self.name())?, geometry);
        let grad = values(grad, grad_layout, self.name())?;
        let row = geometry.row();
        let outputs = weight.len() / row.max(1);
        let weight = Factor::new(Matrix::new(&weight, outputs, row));
        let Geometry {
            batch,
            height,
            width,
            channels,
            ..
        } = *geometry;
        let mut dx = vec![0f32; batch * height * width * channels];
        if geometry.is_identity() {
            let positions = grad.len() / outputs.max(1);
            write_product(&mut dx, Matrix::new(grad, positions, outputs), &weight);
        } else {
            let mut rows = vec![];
            for lines in geometry.chunks() {
                let positions = lines.len() * geometry.out_width;
                let start = lines.start * geometry.out_width * outputs;
                let grad = &grad[start..start + positions * outputs];
                rows.resize(positions * row, 0.0);
                write_product(&mut rows, Matrix::new(grad, positions, outputs), &weight);
                geometry.spread(&rows, lines, &mut dx);
            }
        }
        let shape = Shape::from((batch, height, width, channels));
        Ok((CpuStorage::F32(dx), shape))
    }
}

/// From input and the output's gradient, the weight's.
struct WeightGrad {
    geometry: Geometry,
}

impl CustomOp2 for WeightGrad {
    fn name(&self) -> &'static str {
        "conv2d-weight-grad"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = &self.geometry;
        let x = values(x, layout, self.name())?;
        let grad = values(grad, grad_layout, self.name())?;
        let row = geometry.row();
        let outputs = grad_layout.dims().last().copied().unwrap_or(0);
        // (outputs, kernel, kernel, inputs)
        let mut sums = vec![0f32; outputs * row];
        let mut rows = vec![];
        for lines in geometry.chunks() {
            let positions = lines.len() * geometry.out_width;
            let start = lines.start * geometry.out_width;
            let grad = &grad[start * outputs..(start + positions) * outputs];
            let grad = Matrix::new(grad, positions, outputs).transposed();
            let gathered = if geometry.is_identity() {
                &x[start * row..(start + positions) * row]
            } else {
                geometry.gather(x, lines, &mut rows);
                &rows
            };
            let gathered = Factor::new(Matrix::new(gathered, positions, row));
            add_product(&mut sums, grad, &gathered);
        }
        let dweight = if area(geometry) == 1 {
            sums
        } else {
            let mut dweight = vec![0f32; sums.len()];
            transpose_each(&sums, &mut dweight, area(geometry), geometry.channels);
            dweight
        };
        let kernel = geometry.config.kernel;
        let shape = (outputs, geometry.channels, kernel, kernel);
        Ok((CpuStorage::F32(dweight), Shape::from(shape)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::agreement::{agrees, random};

    #[test]
    fn value_and_gradients_are_those_of_candles_convolution() {
        let after = ConvConfig {
            stride: 2,
            pad_before: 0,
            pad_after: 1,
            ..ConvConfig::SAME
        };
        let configs = [
            ConvConfig::POINTWISE,
            ConvConfig::SAME,
            ConvConfig::HALVE,
            after,
        ];
        for config in configs {
            for (batch, height, width, inputs, outputs) in [(1, 4, 4, 1, 1), (3, 6, 8, 5, 7)] {
                let kernel = config.kernel;
                let vars = [
                    random(&[batch, height, width, inputs], 1),
                    random(&[outputs, inputs, kernel, kernel], 2),
                    random(&[outputs], 3),
                ];
                agrees(
                    &vars,
                    |v| conv2d(&v[0], &v[1], &v[2], config),
                    |v| {
                        v[0].permute((0, 3, 1, 2))?
                            .pad_with_zeros(2, config.pad_before, config.pad_after)?
                            .pad_with_zeros(3, config.pad_before, config.pad_after)?
                            .conv2d(&v[1], 0, config.stride, 1, 1)?
                            .permute((0, 2, 3, 1))?
                            .broadcast_add(v[2].as_tensor())
                    },
                );
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let (x, bias) = (random(&[1, 4, 4, 3], 1), random(&[2], 2));
        for weight in [random(&[2, 4, 3, 3], 3), random(&[2, 3, 1, 1], 3)] {
            assert!(conv2d(&x, &weight, &bias, ConvConfig::SAME).is_err());
        }
        let small = ConvConfig {
            pad_before: 0,
            pad_after: 0,
            kernel: 5,
            stride: 1,
        };
        assert!(conv2d(&x, &random(&[2, 3, 5, 5], 3), &bias, small).is_err());
    }
}
