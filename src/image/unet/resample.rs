//! Pixels brought to another size as two products, so that a device does it with the rest of the network.

use candle_core::{Device, Result, Tensor};

/// Pixels of the source on either side of a point that count, at the same size.
const SUPPORT: f64 = 2.0;

/// Bicubic interpolation with antialiasing as PIL does it, of squares of one size to squares of another.
pub(super) struct Resample {
    /// (to, from): what each pixel is made of, in either direction.
    shares: Tensor,
}

impl Resample {
    /// From `from` pixels a side to `to`; `None` if these are the same.
    pub(super) fn new(from: usize, to: usize, device: &Device) -> Result<Option<Self>> {
        if from == to {
            return Ok(None);
        }
        let scale = from as f64 / to as f64;
        // A smaller image takes the mean over what falls together.
        let reach = scale.max(1.0);
        let mut shares = vec![0f32; to * from];
        for (place, row) in shares.chunks_exact_mut(from.max(1)).enumerate() {
            let centre = (place as f64 + 0.5) * scale;
            let first = (centre - SUPPORT * reach + 0.5).max(0.0) as usize;
            let end = ((centre + SUPPORT * reach + 0.5) as usize).min(from);
            let share = |at: usize| cubic((at as f64 - centre + 0.5) / reach);
            let sum: f64 = (first..end).map(share).sum();
            (first..end).for_each(|at| row[at] = (share(at) / sum) as f32);
        }
        let shares = Tensor::from_vec(shares, (to, from), device)?;
        Ok(Some(Self { shares }))
    }

    /// (batch, 3, from, from) within [-1, 1] to (batch, 3, to, to), within it again: curves swing beyond edges.
    pub(super) fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let rows = pixels.broadcast_matmul(&self.shares.t()?)?;
        self.shares.broadcast_matmul(&rows)?.clamp(-1f32, 1f32)
    }
}

/// Keys' cubic convolution (1981) with a = -1/2.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < SUPPORT {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::image::preprocess::Preprocess;

    /// What preprocessing makes of an image directly, but for its rounding to grey levels.
    #[test]
    fn images_are_those_of_preprocessing() {
        let device = Device::Cpu;
        for (from, to) in [(64, 24), (48, 47), (20, 33)] {
            let image = RgbImage::from_fn(from as u32, from as u32, |x, y| {
                let wave = |f: f64| (127.0 + 120.0 * (f * f64::from(x + 2 * y)).sin()) as u8;
                image::Rgb([wave(0.2), wave(0.35), wave(0.05)])
            });
            let whole = Preprocess::symmetric(from).batch(std::slice::from_ref(&image), &device);
            let resample = Resample::new(from, to, &device).unwrap().unwrap();
            let found = resample.forward(&whole.unwrap()).unwrap();
            let expected = Preprocess::symmetric(to).batch(&[image], &device).unwrap();
            assert_eq!(found.dims(), expected.dims());
            let difference = (found - expected).unwrap().abs().unwrap();
            let largest: f32 = difference
                .flatten_all()
                .unwrap()
                .max(0)
                .unwrap()
                .to_scalar()
                .unwrap();
            // Two of 255 levels: rounded once a direction.
            assert!(largest < 2.1 / 127.5, "{from} to {to}: {largest}");
        }
    }
}
