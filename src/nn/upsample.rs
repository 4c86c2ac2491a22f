//! Doubling an image's size by repeating every position. In (batch, height, width, channels), out
//! (batch, 2 height, 2 width, channels).

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};

use super::ops::values;

/// Repeats every position twice in both directions.
///
/// # Errors
/// If the input has not four dimensions.
pub fn nearest_2x(x: &Tensor) -> Result<Tensor> {
    let (batch, height, width, channels) = x.dims4()?;
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return x.contiguous()?.apply_op1(Repeat);
    }
    x.reshape(&[batch, height, 1, width, 1, channels])?
        .broadcast_as(&[batch, height, 2, width, 2, channels])?
        .reshape((batch, 2 * height, 2 * width, channels))
}

struct Repeat;

impl CustomOp1 for Repeat {
    fn name(&self) -> &'static str {
        "nearest-2x"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout, self.name())?;
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let mut out = Vec::with_capacity(4 * x.len());
        for line in x.chunks_exact((width * channels).max(1)) {
            let start = out.len();
            for position in line.chunks_exact(channels) {
                out.extend_from_slice(position);
                out.extend_from_slice(position);
            }
            out.extend_from_within(start..);
        }
        let shape = Shape::from((batch, 2 * height, 2 * width, channels));
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&Gather)?))
    }
}

/// The sum of each position's four copies.
struct Gather;

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "nearest-2x-grad"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let grad = values(storage, layout, self.name())?;
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let (height, width) = (height / 2, width / 2);
        let mut out = vec![0f32; grad.len() / 4];
        let line = (2 * width * channels).max(1);
        let pairs = grad.chunks_exact(2 * line);
        for (out, pair) in out.chunks_exact_mut((width * channels).max(1)).zip(pairs) {
            let (upper, lower) = pair.split_at(line);
            let copies = upper
                .chunks_exact(2 * channels)
                .zip(lower.chunks_exact(2 * channels));
            for (out, (upper, lower)) in out.chunks_exact_mut(channels).zip(copies) {
                for c in 0..channels {
                    out[c] = upper[c] + upper[c + channels] + lower[c] + lower[c + channels];
                }
            }
        }
        let shape = Shape::from((batch, height, width, channels));
        Ok((CpuStorage::F32(out), shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::agreement::{agrees, random};

    #[test]
    fn value_and_gradient_are_those_of_candle() {
        agrees(
            &[random(&[2, 3, 5, 4], 1)],
            |v| nearest_2x(&v[0]),
            |v| {
                v[0].permute((0, 3, 1, 2))?
                    .upsample_nearest2d(6, 10)?
                    .permute((0, 2, 3, 1))
            },
        );
    }
}
