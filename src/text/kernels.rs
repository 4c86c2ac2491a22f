//! The steps between BERT's matrix products, each one pass over rows of f32 on the calling thread.
//!
//! candle has these too, but it spreads every element-wise step of a larger tensor over one pool that
//! all threads share and that runs one step at a time, so that workers wait for each other; and its
//! GELU takes the error function number by number. Here a worker stays on its thread, and the loops are
//! plain enough for the compiler to vectorise with whatever the processor has, which `pulp` finds out.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, bail};

use crate::numeric::{self, vectorised};

/// Adds a bias to each row.
pub(super) struct AddBias(pub(super) Vec<f32>);

/// Adds a bias to each row, then takes x * P(N(0, 1) < x) of each number (Hendrycks & Gimpel 2016).
pub(super) struct BiasGelu(pub(super) Vec<f32>);

/// Multiplies each row by a number, then takes its softmax. The rows are the last dimension.
pub(super) struct ScaledSoftmax(pub(super) f32);

/// Adds a bias and a second tensor to each row, then normalises it (Ba 2016). If the second tensor has
/// fewer rows, they repeat.
pub(super) struct AddNorm {
    pub(super) bias: Vec<f32>,
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) eps: f32,
}

impl InplaceOp1 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let rows = rows_mut(storage, layout, self.0.len(), self.name())?;
        vectorised(|| {
            for row in rows.chunks_exact_mut(self.0.len()) {
                row.iter_mut().zip(&self.0).for_each(|(x, bias)| *x += bias);
            }
        });
        Ok(())
    }
}

impl InplaceOp1 for BiasGelu {
    fn name(&self) -> &'static str {
        "bias-gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let rows = rows_mut(storage, layout, self.0.len(), self.name())?;
        vectorised(|| {
            for row in rows.chunks_exact_mut(self.0.len()) {
                row.iter_mut()
                    .zip(&self.0)
                    .for_each(|(x, bias)| *x = numeric::gelu(*x + bias));
            }
        });
        Ok(())
    }
}

impl InplaceOp1 for ScaledSoftmax {
    fn name(&self) -> &'static str {
        "scaled-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let len = layout.dims().last().copied().unwrap_or_default();
        let rows = rows_mut(storage, layout, len, self.name())?;
        vectorised(|| {
            for row in rows.chunks_exact_mut(len) {
                let top = numeric::largest(row);
                row.iter_mut()
                    .for_each(|x| *x = numeric::exp((*x - top) * self.0));
                let share = 1.0 / numeric::sum(row);
                row.iter_mut().for_each(|x| *x *= share);
            }
        });
        Ok(())
    }
}

impl InplaceOp2 for AddNorm {
    fn name(&self) -> &'static str {
        "add-norm"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        other: &CpuStorage,
        other_layout: &Layout,
    ) -> Result<()> {
        let len = self.bias.len();
        let rows = rows_mut(storage, layout, len, self.name())?;
        let other = match (other, other_layout.contiguous_offsets()) {
            (CpuStorage::F32(other), Some((start, end))) => &other[start..end],
            _ => bail!("{}: the second tensor is not contiguous f32", self.name()),
        };
        if other.is_empty() || !other.len().is_multiple_of(len) {
            bail!("{}: the second tensor has no rows of {len}", self.name());
        }
        vectorised(|| {
            let others = other.chunks_exact(len).cycle();
            for (row, other) in rows.chunks_exact_mut(len).zip(others) {
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
        });
        Ok(())
    }
}

/// The numbers of a tensor whose rows have `len` of them.
fn rows_mut<'a>(
    storage: &'a mut CpuStorage,
    layout: &Layout,
    len: usize,
    name: &str,
) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((start, end)))
            if len > 0 && layout.dims().last() == Some(&len) =>
        {
            Ok(&mut all[start..end])
        }
        _ => bail!("{name}: the tensor is not contiguous f32 with rows of {len}"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    fn sweep(from: f64, to: f64, count: usize) -> Tensor {
        let step = (to - from) / count as f64;
        let xs: Vec<f64> = (0..count).map(|n| from + step * n as f64).collect();
        Tensor::from_vec(xs, (count / 100, 100), &Device::Cpu).unwrap()
    }

    /// The largest difference to candle's result in f64.
    fn error(found: &Tensor, exact: &Tensor) -> f64 {
        let found = found.to_dtype(DType::F64).unwrap();
        let worst = (found - exact).unwrap().abs().unwrap().max_all().unwrap();
        worst.to_scalar::<f64>().unwrap()
    }

    #[test]
    fn gelu_is_the_exact_one() {
        let xs = sweep(-12.0, 12.0, 100_000).to_dtype(DType::F32).unwrap();
        let exact = xs.to_dtype(DType::F64).unwrap().gelu_erf().unwrap();
        xs.inplace_op1(&BiasGelu(vec![0.0; 100])).unwrap();
        // At 12, neighbours in f32 are 1e-6 apart.
        assert!(error(&xs, &exact) < 2e-6, "{}", error(&xs, &exact));
    }

    #[test]
    fn softmax_is_the_exact_one() {
        for (from, to) in [(-3.0, 3.0), (-400.0, 400.0), (1e4, 1.1e4)] {
            let xs = sweep(from, to, 10_000).t().unwrap().contiguous().unwrap();
            let exact = candle_nn::ops::softmax(&(&xs * 0.25).unwrap(), 1).unwrap();
            let xs = xs.to_dtype(DType::F32).unwrap();
            xs.inplace_op1(&ScaledSoftmax(0.25)).unwrap();
            // Inputs round to f32, which at 1e4 is a step of 1e-3.
            let bound = 3e-7 + to * 1e-7;
            assert!(error(&xs, &exact) < bound, "{}", error(&xs, &exact));
        }
        let one = Tensor::new(&[[5f32]], &Device::Cpu).unwrap();
        one.inplace_op1(&ScaledSoftmax(1.0)).unwrap();
        assert_eq!(one.to_vec2::<f32>().unwrap(), [[1.0]]);
    }

    #[test]
    fn add_norm_is_the_exact_one_and_repeats_short_residuals() {
        let xs = sweep(-3.0, 5.0, 10_000).t().unwrap().contiguous().unwrap();
        let other = (sweep(0.0, 1.0, 5_000).sqr().unwrap() - 0.3).unwrap();
        let sum = (&xs + Tensor::cat(&[&other, &other], 0).unwrap()).unwrap();
        let sum = (sum + 0.5).unwrap();
        let (scale, shift) = (vec![2.0; 100], vec![-1.0; 100]);
        let wide = |v: &[f32]| {
            Tensor::new(v, &Device::Cpu)
                .unwrap()
                .to_dtype(DType::F64)
                .unwrap()
        };
        let exact =
            candle_nn::ops::layer_norm_slow(&sum, &wide(&scale), &wide(&shift), 1e-12).unwrap();
        let xs = xs.to_dtype(DType::F32).unwrap();
        let op = AddNorm {
            bias: vec![0.5; 100],
            scale,
            shift,
            eps: 1e-12,
        };
        xs.inplace_op2(&other.to_dtype(DType::F32).unwrap(), &op)
            .unwrap();
        assert!(error(&xs, &exact) < 1e-5, "{}", error(&xs, &exact));
    }

    #[test]
    fn other_shapes_are_errors() {
        let xs = Tensor::zeros((4, 6), DType::F32, &Device::Cpu).unwrap();
        assert!(xs.inplace_op1(&AddBias(vec![0.0; 5])).is_err());
        assert!(xs.t().unwrap().inplace_op1(&AddBias(vec![0.0; 4])).is_err());
        let wide = Tensor::zeros((4, 6), DType::F64, &Device::Cpu).unwrap();
        assert!(wide.inplace_op1(&ScaledSoftmax(1.0)).is_err());
        let (bias, scale, shift) = (vec![0.0; 6], vec![1.0; 6], vec![0.0; 6]);
        let op = AddNorm {
            bias,
            scale,
            shift,
            eps: 1e-12,
        };
        let odd = Tensor::zeros((4, 5), DType::F32, &Device::Cpu).unwrap();
        assert!(xs.inplace_op2(&odd, &op).is_err());
    }
}
