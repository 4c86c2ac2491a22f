//! Non-linearities number by number, with their derivatives.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor};

use super::ops::values;
use crate::numeric::{self, vectorised};

/// A function of one number, plain enough for the compiler to vectorise.
pub(crate) trait Curve: Send + Sync + 'static {
    const NAME: &'static str;

    fn value(x: f32) -> f32;

    fn slope(x: f32) -> f32;

    /// The same by candle's operations, for other devices and types.
    fn composed(x: &Tensor) -> Result<Tensor>;
}

/// The Gaussian error linear unit, exact: `x * P(N(0, 1) < x)` (Hendrycks & Gimpel, 2016).
///
/// # Errors
/// If a tensor operation fails.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    apply::<Gelu>(x)
}

/// Its tanh approximation (Hendrycks & Gimpel, 2016, s. 2).
///
/// # Errors
/// If a tensor operation fails.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    apply::<GeluTanh>(x)
}

/// Its sigmoid approximation as CLIP has it: `x * sigmoid(1.702 x)`.
///
/// # Errors
/// If a tensor operation fails.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    apply::<QuickGelu>(x)
}

/// `x * sigmoid(x)`.
///
/// # Errors
/// If a tensor operation fails.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    apply::<Silu>(x)
}

fn apply<C: Curve>(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        x.contiguous()?.apply_op1(Pointwise::<C>(PhantomData))
    } else {
        C::composed(x)
    }
}

pub(crate) struct Silu;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + numeric::exp(-x))
}

impl Curve for Silu {
    const NAME: &'static str = "silu";

    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(x)
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let gate = sigmoid(x);
        gate * (1.0 + x * (1.0 - gate))
    }

    fn composed(x: &Tensor) -> Result<Tensor> {
        x.silu()
    }
}

struct Gelu;

impl Curve for Gelu {
    const NAME: &'static str = "gelu";

    #[inline(always)]
    fn value(x: f32) -> f32 {
        numeric::gelu(x)
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        const DENSITY: f32 = 0.398_942_3; // 1 / sqrt(2 pi)
        numeric::normal_share(x) + x * DENSITY * numeric::exp(-0.5 * x * x)
    }

    fn composed(x: &Tensor) -> Result<Tensor> {
        x.gelu_erf()
    }
}

struct GeluTanh;

impl GeluTanh {
    /// `gelu(x) = x * sigmoid(2 u)` with this `u`, since `(1 + tanh u) / 2 = sigmoid(2 u)`.
    #[inline(always)]
    fn gate(x: f32) -> f32 {
        sigmoid(Self::TWO_C * (x + 0.044_715 * x * x * x))
    }

    const TWO_C: f32 = 2.0 * 0.797_884_6; // sqrt(2 / pi)
}

impl Curve for GeluTanh {
    const NAME: &'static str = "gelu-tanh";

    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * Self::gate(x)
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let gate = Self::gate(x);
        gate + x * gate * (1.0 - gate) * Self::TWO_C * (1.0 + 3.0 * 0.044_715 * x * x)
    }

    fn composed(x: &Tensor) -> Result<Tensor> {
        x.gelu()
    }
}

struct QuickGelu;

impl QuickGelu {
    const SCALE: f32 = 1.702;
}

impl Curve for QuickGelu {
    const NAME: &'static str = "quick-gelu";

    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(Self::SCALE * x)
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let gate = sigmoid(Self::SCALE * x);
        gate * (1.0 + Self::SCALE * x * (1.0 - gate))
    }

    fn composed(x: &Tensor) -> Result<Tensor> {
        x * candle_nn::ops::sigmoid(&(x * f64::from(Self::SCALE))?)?
    }
}

struct Pointwise<C>(PhantomData<C>);

impl<C: Curve> CustomOp1 for Pointwise<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout, self.name())?;
        let out = vectorised(
            #[inline(always)]
            || x.iter().map(|&x| C::value(x)).collect(),
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let op = PointwiseGrad::<C>(PhantomData);
        Ok(Some(x.apply_op2_no_bwd(&grad.contiguous()?, &op)?))
    }
}

struct PointwiseGrad<C>(PhantomData<C>);

impl<C: Curve> CustomOp2 for PointwiseGrad<C> {
    fn name(&self) -> &'static str {
        C::NAME
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
        let out = vectorised(
            #[inline(always)]
            || {
                x.iter()
                    .zip(grad)
                    .map(|(&x, &grad)| grad * C::slope(x))
                    .collect()
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
    fn values_and_gradients_are_those_of_candle() {
        let x = [random(&[5, 41], 5)];
        agrees(&x, |v| gelu(&v[0]), |v| v[0].gelu_erf());
        agrees(&x, |v| gelu_tanh(&v[0]), |v| v[0].gelu());
        agrees(&x, |v| quick_gelu(&v[0]), |v| QuickGelu::composed(&v[0]));
        agrees(&x, |v| silu(&v[0]), |v| v[0].silu());
    }
}
