//! Decoded images to the tensor an encoder takes.

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use image::RgbImage;
use image::imageops::{self, FilterType};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Size and normalisation, under the keys of published `preprocessor_config.json` files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Width and height of the output in pixels.
    pub size: usize,
    /// Taken away from each channel, after scaling to [0, 1].
    pub image_mean: [f32; 3],
    /// Divides each channel after that.
    pub image_std: [f32; 3],
}

impl Preprocess {
    /// To [-1, 1], as `google/vit-base-patch16-224` does it.
    pub fn symmetric(size: usize) -> Self {
        Self {
            size,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
        }
    }

    /// The image, squeezed to a square of the size if it is of another.
    pub fn resized<'a>(&self, image: &'a RgbImage) -> Cow<'a, RgbImage> {
        let side = self.size as u32;
        if image.dimensions() == (side, side) {
            return Cow::Borrowed(image);
        }
        Cow::Owned(imageops::resize(image, side, side, FilterType::CatmullRom))
    }

    /// A batch (images, 3, size, size), f32. Images of other sizes are squeezed to a square.
    ///
    /// # Errors
    /// If the device refuses the tensor.
    pub fn batch(&self, images: &[RgbImage], device: &Device) -> Result<Tensor> {
        if self.size == 0 {
            return Err(candle_core::Error::Msg("images of size 0".into()).into());
        }
        let plane = self.size * self.size;
        let mut values = vec![0f32; images.len() * 3 * plane];
        for (image, out) in images.iter().zip(values.chunks_exact_mut(3 * plane)) {
            for (i, pixel) in self.resized(image).pixels().enumerate() {
                for channel in 0..3 {
                    let value = f32::from(pixel.0[channel]) / 255.0;
                    out[channel * plane + i] =
                        (value - self.image_mean[channel]) / self.image_std[channel];
                }
            }
        }
        Ok(Tensor::from_vec(
            values,
            (images.len(), 3, self.size, self.size),
            device,
        )?)
    }
}
