//! Group normalisation (Wu & He, 2018), with the SiLU that follows it in diffusion networks fused in.
//! In (batch, .., channels), out the same.

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor};
use candle_nn::{Init, Module, VarBuilder};

use super::ops::{same_length, values};
use super::pointwise::{Curve, Silu};
use super::with_gradient::made_again;
use crate::numeric::vectorised;

/// Normalises groups of channels over all positions of an image, then scales (`weight`) and shifts
/// (`bias`) each channel.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    groups: usize,
    eps: f32,
    silu: bool,
}

impl GroupNorm {
    /// Reads the layer, or starts it as the identity after normalisation. `groups` divides `channels`.
    ///
    /// # Errors
    /// If the groups do not divide the channels, or a weight is missing or of another shape.
    pub fn new(groups: usize, channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            candle_core::bail!("{groups} groups do not divide {channels} channels");
        }
        Ok(Self {
            weight: vb.get_with_hints(channels, "weight", Init::Const(1.0))?,
            bias: vb.get_with_hints(channels, "bias", Init::Const(0.0))?,
            settings: Settings {
                groups,
                eps: eps as f32,
                silu: false,
            },
        })
    }

    /// The same, followed by SiLU.
    pub fn with_silu(self) -> Self {
        let settings = Settings {
            silu: true,
            ..self.settings
        };
        Self { settings, ..self }
    }
}

impl Module for GroupNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() && x.dtype() == DType::F32 {
            let norm = Norm(self.settings);
            return x.contiguous()?.apply_op3(&self.weight, &self.bias, norm);
        }
        let settings = self.settings;
        made_again(&[x, &self.weight, &self.bias], move |it| {
            settings.composed(it[0], it[1], it[2])
        })
    }
}

/// Over positions and the channels of a group.
fn mean(x: &Tensor) -> Result<Tensor> {
    x.mean_keepdim(D::Minus1)?.mean_keepdim(1)
}

struct Norm(Settings);

/// What one image's channels are scaled by.
struct Moments {
    /// The mean of the channel's group.
    mean: Vec<f32>,
    /// The reciprocal standard deviation of the channel's group.
    scale: Vec<f32>,
}

impl Settings {
    /// The layer composed of candle's operations, for other devices and types.
    fn composed(self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (batch, channels) = (x.dim(0)?, x.dim(D::Minus1)?);
        let grouped = x.reshape((batch, (), self.groups, channels / self.groups))?;
        let centred = grouped.broadcast_sub(&mean(&grouped)?)?;
        let deviation = (mean(&centred.sqr()?)? + f64::from(self.eps))?.sqrt()?;
        let y = centred
            .broadcast_div(&deviation)?
            .reshape(x.shape())?
            .broadcast_mul(weight)?
            .broadcast_add(bias)?;
        if self.silu { y.silu() } else { Ok(y) }
    }

    /// Of one image, (positions, channels).
    #[inline(always)]
    fn moments(self, x: &[f32], channels: usize) -> Moments {
        let count = (x.len() / self.groups.max(1)) as f32;
        let mut mean = vec![0f32; channels];
        for row in x.chunks_exact(channels) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        self.share(&mut mean, |sum| sum / count);
        let mut scale = vec![0f32; channels];
        for row in x.chunks_exact(channels) {
            for ((sum, x), mean) in scale.iter_mut().zip(row).zip(&mean) {
                *sum += (x - mean) * (x - mean);
            }
        }
        self.share(&mut scale, |sum| 1.0 / (sum / count + self.eps).sqrt());
        Moments { mean, scale }
    }

    /// Gives each channel what `of` makes of its group's sum.
    fn share(self, sums: &mut [f32], of: impl Fn(f32) -> f32) {
        let size = sums.len() / self.groups.max(1);
        for group in sums.chunks_exact_mut(size.max(1)) {
            let value = of(group.iter().sum());
            group.fill(value);
        }
    }
}

/// Positions and channels of one image.
fn image_size(layout: &Layout) -> (usize, usize) {
    let channels = layout.dims().last().copied().unwrap_or(1).max(1);
    let batch = layout.dims().first().copied().unwrap_or(1).max(1);
    (layout.shape().elem_count() / batch, channels)
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "group-norm"
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
        let (image, channels) = image_size(layout);
        same_length(channels, weight.len(), self.name())?;
        same_length(channels, bias.len(), self.name())?;
        let mut out = vec![0f32; x.len()];
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(image).zip(x.chunks_exact(image)) {
                    let Moments {
                        mut mean,
                        mut scale,
                    } = self.0.moments(x, channels);
                    // y = scale x + shift, with the shift in the means' place.
                    for (((mean, scale), weight), bias) in
                        mean.iter_mut().zip(&mut scale).zip(weight).zip(bias)
                    {
                        *scale *= weight;
                        *mean = bias - *mean * *scale;
                    }
                    let rows = out.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
                    for (out, x) in rows {
                        for (((out, x), scale), shift) in
                            out.iter_mut().zip(x).zip(&scale).zip(&mean)
                        {
                            let y = x * scale + shift;
                            *out = if self.0.silu { Silu::value(y) } else { y };
                        }
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
        bias: &Tensor,
        _result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let channels = weight.elem_count();
        let parameters = Tensor::cat(&[weight, bias], 0)?;
        let all = x.apply_op3_no_bwd(&parameters, &grad.contiguous()?, &NormGrad(self.0))?;
        let count = x.elem_count();
        Ok((
            Some(all.narrow(0, 0, count)?.reshape(x.shape())?),
            Some(all.narrow(0, count, channels)?),
            Some(all.narrow(0, count + channels, channels)?),
        ))
    }
}

/// From x, weight and bias in one, and the output's gradient, the gradients of x, weight and bias,
/// one after the other in one flat tensor.
struct NormGrad(Settings);

impl CustomOp3 for NormGrad {
    fn name(&self) -> &'static str {
        "group-norm-grad"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout, self.name())?;
        let parameters = values(parameters, parameters_layout, self.name())?;
        let grad = values(grad, grad_layout, self.name())?;
        let (image, channels) = image_size(layout);
        same_length(2 * channels, parameters.len(), self.name())?;
        let (weight, bias) = parameters.split_at(channels);
        let mut all = vec![0f32; x.len() + 2 * channels];
        let (dx, rest) = all.split_at_mut(x.len());
        let (dweight, dbias) = rest.split_at_mut(channels);
        let count = (image / self.0.groups.max(1)) as f32;
        vectorised(
            #[inline(always)]
            || {
                let images = dx
                    .chunks_exact_mut(image)
                    .zip(x.chunks_exact(image))
                    .zip(grad.chunks_exact(image));
                for ((dx, x), grad) in images {
                    let Moments { mean, scale } = self.0.moments(x, channels);
                    // Sums over positions of the gradient, and of it times the normalised input. All rows
                    // are cut to one length, or the compiler would check every index.
                    let mut sums = vec![0f32; channels];
                    let mut products = vec![0f32; channels];
                    let (weight, bias) = (&weight[..channels], &bias[..channels]);
                    let (mean, scale) = (&mean[..channels], &scale[..channels]);
                    let rows = dx
                        .chunks_exact_mut(channels)
                        .zip(x.chunks_exact(channels))
                        .zip(grad.chunks_exact(channels));
                    for ((dx, x), grad) in rows {
                        let (dx, x, grad) =
                            (&mut dx[..channels], &x[..channels], &grad[..channels]);
                        let (sums, products) = (&mut sums[..channels], &mut products[..channels]);
                        for c in 0..channels {
                            let normed = (x[c] - mean[c]) * scale[c];
                            let slope = if self.0.silu {
                                Silu::slope(normed * weight[c] + bias[c])
                            } else {
                                1.0
                            };
                            let grad = grad[c] * slope;
                            dx[c] = grad;
                            sums[c] += grad;
                            products[c] += grad * normed;
                        }
                    }
                    for c in 0..channels {
                        dbias[c] += sums[c];
                        dweight[c] += products[c];
                        sums[c] *= weight[c];
                        products[c] *= weight[c];
                    }
                    self.0.share(&mut sums, |sum| sum / count);
                    self.0.share(&mut products, |sum| sum / count);
                    let (sums, products) = (&sums[..channels], &products[..channels]);
                    for (dx, x) in dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                        let (dx, x) = (&mut dx[..channels], &x[..channels]);
                        for c in 0..channels {
                            let normed = (x[c] - mean[c]) * scale[c];
                            dx[c] = scale[c] * (dx[c] * weight[c] - sums[c] - normed * products[c]);
                        }
                    }
                }
            },
        );
        let length = all.len();
        Ok((CpuStorage::F32(all), Shape::from(length)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::nn::agreement::{agrees, random};

    fn layer(v: &[Var], groups: usize, silu: bool) -> GroupNorm {
        GroupNorm {
            weight: v[1].as_tensor().clone(),
            bias: v[2].as_tensor().clone(),
            settings: Settings {
                groups,
                eps: 1e-5,
                silu,
            },
        }
    }

    #[test]
    fn value_and_gradients_are_those_of_candles_group_norm() {
        for (groups, silu) in [(1, false), (4, false), (4, true), (12, true)] {
            let vars = [
                random(&[2, 5, 3, 12], 1),
                random(&[12], 2),
                random(&[12], 3),
            ];
            let candles = |v: &[Var]| {
                let x = v[0].permute((0, 3, 1, 2))?;
                let (weight, bias) = (v[1].as_tensor().clone(), v[2].as_tensor().clone());
                let y = candle_nn::GroupNorm::new(weight, bias, 12, groups, 1e-5)?
                    .forward(&x)?
                    .permute((0, 2, 3, 1))?;
                if silu { y.silu() } else { Ok(y) }
            };
            let settings = layer(&vars, groups, silu).settings;
            let on_devices = move |it: &[&Tensor]| settings.composed(it[0], it[1], it[2]);
            agrees(&vars, |v| layer(v, groups, silu).forward(&v[0]), candles);
            agrees(
                &vars,
                |v| made_again(&[&v[0], &v[1], &v[2]], on_devices),
                candles,
            );
        }
    }
}
