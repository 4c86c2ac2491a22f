//! Activations of the form `x * sigmoid(u(x))`, fused on the CPU with their backward pass.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::ops::{fused, values};
use crate::numeric::{self, vectorised};

/// The tanh approximation of the Gaussian error linear unit (Hendrycks & Gimpel, 2016, s. 2).
///
/// # Errors
/// If a tensor operation fails.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    if fused(x) {
        gated::<GeluTanh>(x)
    } else {
        x.gelu()
    }
}

/// The sigmoid approximation of the same, as CLIP has it: `x * sigmoid(1.702 x)`.
///
/// # Errors
/// If a tensor operation fails.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    if fused(x) {
        gated::<QuickGelu>(x)
    } else {
        x * candle_nn::ops::sigmoid(&(x * f64::from(QuickGelu::SCALE))?)?
    }
}

/// The function `u` of an activation.
trait Gate: Send + Sync + 'static {
    const NAME: &'static str;

    fn exponent(x: f32) -> f32;

    /// The derivative of [`Gate::exponent`].
    fn slope(x: f32) -> f32;
}

/// `(1 + tanh v) / 2 = sigmoid(2 v)` with `v = sqrt(2 / pi) (x + 0.044715 x^3)`.
struct GeluTanh;

impl GeluTanh {
    const SCALE: f32 = 2.0 * 0.797_884_6;
    const CUBIC: f32 = 0.044_715;
}

impl Gate for GeluTanh {
    const NAME: &'static str = "gelu-tanh";

    #[inline(always)]
    fn exponent(x: f32) -> f32 {
        Self::SCALE * (x + Self::CUBIC * x * x * x)
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        Self::SCALE * (1.0 + 3.0 * Self::CUBIC * x * x)
    }
}

struct QuickGelu;

impl QuickGelu {
    const SCALE: f32 = 1.702;
}

impl Gate for QuickGelu {
    const NAME: &'static str = "quick-gelu";

    #[inline(always)]
    fn exponent(x: f32) -> f32 {
        Self::SCALE * x
    }

    #[inline(always)]
    fn slope(_: f32) -> f32 {
        Self::SCALE
    }
}

fn gated<G: Gate>(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gated::<G>(PhantomData))
}

#[inline(always)]
fn sigmoid(u: f32) -> f32 {
    1.0 / (1.0 + numeric::exp(-u))
}

struct Gated<G>(PhantomData<G>);

impl<G: Gate> CustomOp1 for Gated<G> {
    fn name(&self) -> &'static str {
        G::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout, self.name())?;
        let out = vectorised(|| x.iter().map(|&x| x * sigmoid(G::exponent(x))).collect());
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let op = GatedGrad::<G>(PhantomData);
        Ok(Some(x.apply_op2_no_bwd(&grad.contiguous()?, &op)?))
    }
}

/// `dx = g (s + x s (1 - s) u')` with `s = sigmoid(u)`.
struct GatedGrad<G>(PhantomData<G>);

impl<G: Gate> CustomOp2 for GatedGrad<G> {
    fn name(&self) -> &'static str {
        G::NAME
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
        let slope = |x: f32| {
            let gate = sigmoid(G::exponent(x));
            gate + x * gate * (1.0 - gate) * G::slope(x)
        };
        let out = vectorised(|| {
            x.iter()
                .zip(grad)
                .map(|(&x, &grad)| grad * slope(x))
                .collect()
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::agreement::{agrees, random};

    #[test]
    fn gelu_and_its_gradient() {
        agrees(
            &[random(&[5, 41], 5)],
            |v| gelu_tanh(&v[0]),
            |v| v[0].gelu(),
        );
    }

    #[test]
    fn quick_gelu_and_its_gradient() {
        agrees(
            &[random(&[5, 41], 6)],
            |v| quick_gelu(&v[0]),
            |v| v[0].as_tensor() * candle_nn::ops::sigmoid(&(v[0].as_tensor() * 1.702)?)?,
        );
    }
}
