//! The codec that learns nothing: each square of pixels becomes a column of channels. Nothing is lost
//! and nothing is compressed; the trained codec must lead to better images than this one.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::LatentCodec;

/// Settings of [`SpaceToDepth`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpaceToDepthConfig {
    /// Width and height of a square in pixels.
    pub factor: usize,
    /// Multiplies pixels, to about unit variance.
    pub scaling_factor: f64,
    /// Taken away from pixels before.
    pub shift_factor: f64,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct SpaceToDepth {
    config: SpaceToDepthConfig,
}

impl SpaceToDepth {
    /// The codec of these settings.
    ///
    /// # Errors
    /// If the factor or the scale is zero.
    pub fn new(config: SpaceToDepthConfig) -> Result<Self> {
        if config.factor == 0 || config.scaling_factor == 0.0 {
            candle_core::bail!("factor and scaling_factor of a codec must not be zero");
        }
        Ok(Self { config })
    }
}

impl LatentCodec for SpaceToDepth {
    fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = pixels.dims4()?;
        let factor = self.config.factor;
        let (rows, columns) = (height / factor, width / factor);
        let squares = pixels
            .reshape(&[batch, channels, rows, factor, columns, factor])?
            .permute([0, 1, 3, 5, 2, 4])?
            .reshape((batch, channels * factor * factor, rows, columns))?;
        (squares - self.config.shift_factor)? * self.config.scaling_factor
    }

    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let (batch, channels, rows, columns) = latents.dims4()?;
        let factor = self.config.factor;
        let colours = channels / (factor * factor);
        let pixels = latents
            .reshape(&[batch, colours, factor, factor, rows, columns])?
            .permute([0, 1, 4, 2, 5, 3])?
            .reshape((batch, colours, rows * factor, columns * factor))?;
        (pixels / self.config.scaling_factor)? + self.config.shift_factor
    }

    fn channels(&self) -> usize {
        3 * self.config.factor * self.config.factor
    }

    fn factor(&self) -> usize {
        self.config.factor
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn nothing_is_lost_and_squares_become_columns() {
        let values: Vec<f32> = (0..2 * 3 * 8 * 8)
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        let pixels = Tensor::from_vec(values, (2, 3, 8, 8), &Device::Cpu).unwrap();
        let codec = SpaceToDepth::new(SpaceToDepthConfig {
            factor: 4,
            scaling_factor: 2.0,
            shift_factor: 0.1,
        })
        .unwrap();
        let latents = codec.encode(&pixels).unwrap();
        assert_eq!(latents.dims(), [2, 48, 2, 2]);
        assert_eq!((codec.channels(), codec.factor()), (48, 4));
        let back = codec.decode(&latents).unwrap();
        let worst = (back - pixels).unwrap().abs().unwrap().max_all().unwrap();
        assert!(worst.to_scalar::<f32>().unwrap() < 1e-6);
    }
}
