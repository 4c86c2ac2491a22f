//! Decoded images to the tensor an encoder takes: resize, crop, normalise, as the reference processors do it
//! on Pillow.

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use image::imageops;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Size and normalisation, under the keys of published `preprocessor_config.json` files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Width and height of the output in pixels.
    pub size: usize,
    /// How an image comes to that size.
    #[serde(default, skip_serializing_if = "Fit::is_squeeze")]
    pub fit: Fit,
    /// How new pixels are made of old ones.
    #[serde(default, skip_serializing_if = "Resample::is_bicubic")]
    pub resample: Resample,
    /// Taken away from each channel, after scaling to [0, 1].
    pub image_mean: [f32; 3],
    /// Divides each channel after that.
    pub image_std: [f32; 3],
}

/// How an image comes to a square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Width and height are changed each for itself.
    #[default]
    Squeeze,
    /// The shorter side is brought to a length, and what is in the middle is taken.
    Crop {
        /// Length of the shorter side in pixels; at least the size of the square.
        shortest_edge: usize,
        /// Where the middle lies between two pixels.
        odd: Odd,
    },
}

/// Which pixels are the middle ones where as many on one side as on the other cannot be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Odd {
    /// One fewer is left out before them than behind: transformers.
    Before,
    /// Half of what is left out, rounded to an even number: torchvision.
    Even,
}

/// How new pixels are made of old ones; all average over what they shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resample {
    /// Straight lines between them.
    Bilinear,
    /// Cubic splines through them (Keys, 1981, with a = -0.5).
    #[default]
    Bicubic,
}

impl Fit {
    fn is_squeeze(&self) -> bool {
        *self == Self::Squeeze
    }
}

impl Resample {
    fn is_bicubic(&self) -> bool {
        *self == Self::Bicubic
    }

    /// Pixels to each side that a new one is made of, where nothing shrinks.
    fn reach(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn filter(self) -> FilterType {
        match self {
            Self::Bilinear => FilterType::Bilinear,
            Self::Bicubic => FilterType::CatmullRom,
        }
    }
}

impl Preprocess {
    /// Squeezed to a square and brought to [-1, 1].
    pub fn symmetric(size: usize) -> Self {
        Self {
            size,
            fit: Fit::Squeeze,
            resample: Resample::Bicubic,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
        }
    }

    /// Whether both bring images to the same pixels, before these are normalised.
    pub fn has_shape_of(&self, other: &Self) -> bool {
        (self.size, self.fit, self.resample) == (other.size, other.fit, other.resample)
    }

    /// An image of which [`batch`](Self::batch) makes the same as of this one, no larger than it need be.
    ///
    /// # Errors
    /// If it has no pixels.
    pub fn resized<'a>(&self, image: &'a RgbImage) -> Result<Cow<'a, RgbImage>> {
        match self.fit {
            // What has been cropped would be cropped again.
            Fit::Crop { shortest_edge, .. } if shortest_edge != self.size => {
                Ok(Cow::Borrowed(image))
            }
            _ => self.square(image),
        }
    }

    /// A batch (images, 3, size, size), f32.
    ///
    /// # Errors
    /// If an image has no pixels, or the device refuses the tensor.
    pub fn batch(&self, images: &[RgbImage], device: &Device) -> Result<Tensor> {
        if self.size == 0 {
            return Err(candle_core::Error::Msg("images of size 0".into()).into());
        }
        let plane = self.size * self.size;
        let mut values = vec![0f32; images.len() * 3 * plane];
        let planes = values.par_chunks_exact_mut(3 * plane);
        images.par_iter().zip(planes).try_for_each(|(image, out)| {
            for (i, pixel) in self.square(image)?.pixels().enumerate() {
                for channel in 0..3 {
                    let value = f32::from(pixel.0[channel]) / 255.0;
                    out[channel * plane + i] =
                        (value - self.image_mean[channel]) / self.image_std[channel];
                }
            }
            Ok::<_, Error>(())
        })?;
        Ok(Tensor::from_vec(
            values,
            (images.len(), 3, self.size, self.size),
            device,
        )?)
    }

    /// The image as a square of the size.
    fn square<'a>(&self, image: &'a RgbImage) -> Result<Cow<'a, RgbImage>> {
        let side = self.size as u32;
        let (width, height) = image.dimensions();
        if image.is_empty() {
            return Err(candle_core::Error::Msg("an image without pixels".into()).into());
        }
        let (across, down) = (
            self.span(width, width, height),
            self.span(height, width, height),
        );
        if (width, height) == (side, side) && across.is_all(width) && down.is_all(height) {
            return Ok(Cow::Borrowed(image));
        }
        // Of a crop, only the rows that it is made of: else the width of all of a long image would be changed.
        let reach = self.resample.reach() * (down.length / f64::from(side)).max(1.0) + 1.0;
        let top = (down.start - reach).floor().max(0.0) as u32;
        let bottom = (down.start + down.length + reach)
            .ceil()
            .min(f64::from(height)) as u32;
        let rows = imageops::crop_imm(image, 0, top, width, bottom - top).to_image();
        let down = Span {
            start: down.start - f64::from(top),
            ..down
        };
        // First the width, then the height: grey levels are rounded in between and do not leave their range, so
        // that the order matters at sharp edges. This is Pillow's.
        let wide = resize_width(&rows, across, side, self.resample)?;
        Ok(Cow::Owned(resize_height(&wide, down, side, self.resample)?))
    }

    /// What of `length`, which is the width or the height of an image, becomes the side of the square.
    fn span(&self, length: u32, width: u32, height: u32) -> Span {
        let Fit::Crop { shortest_edge, odd } = self.fit else {
            return Span {
                start: 0.0,
                length: f64::from(length),
            };
        };
        let shorter = u64::from(width.min(height).max(1));
        let scaled = u64::from(length) * shortest_edge as u64 / shorter;
        let left_out = scaled.saturating_sub(self.size as u64);
        let before = match odd {
            Odd::Even if left_out % 4 == 3 => left_out / 2 + 1,
            _ => left_out / 2,
        };
        let factor = f64::from(length) / scaled.max(1) as f64;
        Span {
            start: before as f64 * factor,
            length: self.size as f64 * factor,
        }
    }
}

/// A part of a width or a height, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    start: f64,
    length: f64,
}

impl Span {
    fn is_all(self, length: u32) -> bool {
        self.start == 0.0 && self.length == f64::from(length)
    }
}

/// Pixels that are resized at once: 12 MiB of floats.
const BAND_PIXELS: u32 = 1 << 20;

/// The image with the part `span` of its width brought to `width` pixels. Rows do not depend on each other: they
/// are taken in bands, for in floats they take four times the room. Fixed-point weights, which would not, are off by
/// two levels at times.
fn resize_width(image: &RgbImage, span: Span, width: u32, resample: Resample) -> Result<RgbImage> {
    let (old, height) = image.dimensions();
    let rows = (BAND_PIXELS / old).max(1);
    let mut bytes = Vec::with_capacity(width as usize * height as usize * 3);
    for band in image.as_raw().chunks((rows * old * 3) as usize) {
        let rows = band.len() as u32 / (old * 3);
        let crop = (span.start, 0.0, span.length, f64::from(rows));
        bytes.extend(resize(band, (old, rows), crop, (width, rows), resample)?);
    }
    whole(width, height, bytes)
}

/// The image with the part `span` of its height brought to `height` pixels.
fn resize_height(
    image: &RgbImage,
    span: Span,
    height: u32,
    resample: Resample,
) -> Result<RgbImage> {
    let (width, old) = image.dimensions();
    let crop = (0.0, span.start, f64::from(width), span.length);
    let bytes = resize(
        image.as_raw(),
        (width, old),
        crop,
        (width, height),
        resample,
    )?;
    whole(width, height, bytes.collect())
}

/// The part of an image that begins at `left` and `top`, in another size: grey levels one after another.
fn resize(
    bytes: &[u8],
    (old_width, old_height): (u32, u32),
    (left, top, width, height): (f64, f64, f64, f64),
    (new_width, new_height): (u32, u32),
    resample: Resample,
) -> Result<impl Iterator<Item = u8> + use<>> {
    let failed = |error: &dyn std::fmt::Display| {
        candle_core::Error::Msg(format!("an image cannot be resized: {error}"))
    };
    let pixels = bytes.chunks_exact(3).map(|pixel| {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
        F32x3::new([red, green, blue])
    });
    let pixels: Vec<F32x3> = pixels.collect();
    let from = TypedImageRef::new(old_width, old_height, &pixels);
    let from = from.map_err(|error| failed(&error))?;
    let mut to = TypedImage::new(new_width, new_height);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(resample.filter()))
        .crop(left, top, width, height);
    Resizer::new()
        .resize_typed::<F32x3>(&from, &mut to, &options)
        .map_err(|error| failed(&error))?;
    let levels = to.pixels().to_vec().into_iter().flat_map(|pixel| pixel.0);
    // A conversion to u8 stops at its ends.
    Ok(levels.map(|level| (level + 0.5).floor() as u8))
}

fn whole(width: u32, height: u32, bytes: Vec<u8>) -> Result<RgbImage> {
    let made = RgbImage::from_raw(width, height, bytes);
    let why = || candle_core::Error::Msg("an image has three channels".into());
    Ok(made.ok_or_else(why)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode;
    use crate::image::published::{open_clip_preprocess, preprocess, timm_preprocess};
    use crate::parity::{Fixture, device};

    #[test]
    fn pixels_are_the_references_to_a_grey_level() {
        let fixture = Fixture::open("preprocess");
        // open_clip resizes a picture with its transparency and drops that at last; here and in transformers the
        // picture is laid on white at first.
        let mut names = fixture.names("");
        names.retain(|name| name != "open_clip.rgba");
        assert_eq!(names.len(), 23);
        for name in names {
            let (processor, image) = name.split_once('.').unwrap();
            let file = format!("{processor}.json");
            let preprocess = match processor {
                "open_clip" => open_clip_preprocess(32, &fixture.json(&file)),
                "timm" => timm_preprocess(48, &fixture.json(&file)).unwrap(),
                _ => preprocess(&fixture.folder().join(file)).unwrap(),
            };
            let bytes = std::fs::read(fixture.folder().join(format!("{image}.png"))).unwrap();
            let image = decode::decode(&bytes).unwrap();
            let found = preprocess.batch(&[image], &device()).unwrap();
            let difference = found.broadcast_sub(&fixture.tensor(&name)).unwrap();
            let worst = difference
                .abs()
                .unwrap()
                .flatten_all()
                .unwrap()
                .max(0)
                .unwrap();
            let std = preprocess
                .image_std
                .iter()
                .copied()
                .fold(f32::MAX, f32::min);
            let levels = worst.to_scalar::<f32>().unwrap() * std * 255.0;
            assert!(levels < 1.001, "{name}: {levels} levels");
        }
    }

    #[test]
    fn what_has_been_resized_stays_as_it_is() {
        let image = RgbImage::from_fn(90, 61, |x, y| image::Rgb([x as u8 * 2, y as u8 * 4, 7]));
        let crop = |shortest_edge| Fit::Crop {
            shortest_edge,
            odd: Odd::Before,
        };
        for (fit, shrinks) in [(Fit::Squeeze, true), (crop(32), true), (crop(40), false)] {
            let preprocess = Preprocess {
                fit,
                ..Preprocess::symmetric(32)
            };
            let resized = preprocess.resized(&image).unwrap().into_owned();
            assert_eq!(resized.dimensions() == (32, 32), shrinks);
            let batch = |image: &RgbImage| -> Vec<f32> {
                let batch = preprocess.batch(std::slice::from_ref(image), &Device::Cpu);
                batch.unwrap().flatten_all().unwrap().to_vec1().unwrap()
            };
            assert_eq!(batch(&resized), batch(&image));
        }
        // Brought to the edge as a whole, this would be seven million pixels high.
        let thread = RgbImage::from_fn(1, 32_768, |_, y| image::Rgb([(y / 129) as u8; 3]));
        let preprocess = Preprocess {
            fit: crop(224),
            ..Preprocess::symmetric(224)
        };
        let middle = preprocess.resized(&thread).unwrap().into_owned();
        assert_eq!(middle.dimensions(), (224, 224));
        assert_eq!(middle[(7, 100)].0, [127; 3]);
        let empty = Preprocess::symmetric(8)
            .resized(&RgbImage::new(0, 0))
            .map(|_| ());
        assert!(empty.is_err());
    }
}
