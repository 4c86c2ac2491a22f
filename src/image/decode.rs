//! Image files to pixels, within limits that a hostile file cannot exceed.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{ImageReader, Limits, RgbImage};

use crate::error::{Error, Result};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// The largest image that is decoded, in pixels.
pub const MAX_PIXELS: u64 = 64_000_000;

/// The longest side of an image that is decoded: resizing takes memory by the side, too.
pub const MAX_SIDE: u32 = 32_768;

/// The bytes of an image file.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::ImageFileTooLarge`] beyond [`MAX_FILE_BYTES`].
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed = |error| Error::io("read", path)(error);
    // Opening a pipe would wait for somebody who writes to it.
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() && !metadata.is_dir() {
        let why = "it is no regular file";
        return Err(failed(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            why,
        )));
    }
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::ImageFileTooLarge {
            path: path.to_owned(),
            limit_bytes: MAX_FILE_BYTES,
        });
    }
    Ok(bytes)
}

/// Whether `bytes` begin as an image of a known form does.
///
/// # Errors
/// [`Error::ImageDecode`] if they do not.
pub fn check_format(bytes: &[u8]) -> Result<()> {
    image::guess_format(bytes)
        .map(drop)
        .map_err(|source| Error::ImageDecode { source })
}

/// Width and height in pixels, by the header alone.
///
/// # Errors
/// [`Error::ImageDecode`] if the bytes do not begin as an image of a known form.
pub fn dimensions(bytes: &[u8]) -> Result<(u32, u32)> {
    reader(bytes)?
        .into_dimensions()
        .map_err(|source| Error::ImageDecode { source })
}

fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    reader.map_err(|error| Error::ImageDecode {
        source: image::ImageError::IoError(error),
    })
}

/// Whether an image of so many pixels is decoded.
///
/// # Errors
/// [`Error::ImageTooLarge`] beyond [`MAX_PIXELS`] or [`MAX_SIDE`].
pub(crate) fn check_size(width: u32, height: u32) -> Result<()> {
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Error::ImageTooLarge {
            width,
            height,
            limit_pixels: MAX_PIXELS,
            limit_side: MAX_SIDE,
        });
    }
    Ok(())
}

/// What decoding may take.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 16);
    limits
}

/// The pixels of an image in PNG, JPEG, WebP, GIF (first frame) or BMP form; transparency is laid
/// over white.
///
/// # Errors
/// [`Error::ImageDecode`] if the bytes are no such image, [`Error::ImageTooLarge`] beyond
/// [`MAX_PIXELS`] or [`MAX_SIDE`].
pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    // The size stands in the header: refuse before anything is allocated for the pixels.
    let (width, height) = dimensions(bytes)?;
    check_size(width, height)?;
    let mut reader = reader(bytes)?;
    reader.limits(limits());
    let image = reader
        .decode()
        .map_err(|source| Error::ImageDecode { source })?;
    if !image.color().has_alpha() {
        return Ok(image.into_rgb8());
    }
    let image = image.into_rgba8();
    Ok(RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(u16::from);
        // Rounded; the sum is 65 152 at most.
        let laid = |level: u16| (level * alpha + 255 * (255 - alpha) + 127) / 255;
        image::Rgb([red, green, blue].map(|level| laid(level) as u8))
    }))
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgba, RgbaImage};

    use super::*;

    fn png(image: &RgbaImage) -> Vec<u8> {
        let mut bytes = Cursor::new(vec![]);
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn transparency_is_laid_over_white() {
        let bytes = png(&RgbaImage::from_pixel(3, 2, Rgba([200, 0, 0, 0])));
        let image = decode(&bytes).unwrap();
        assert_eq!(image.dimensions(), (3, 2));
        assert!(image.pixels().all(|pixel| pixel.0 == [255, 255, 255]));
    }

    #[test]
    fn a_header_that_claims_too_many_pixels_is_refused_before_decoding() {
        let whole = png(&RgbaImage::new(1, 1));
        for (width, height) in [(60_000u32, 60_000u32), (1, 64_000_000), (40_000, 2)] {
            let mut bytes = whole.clone();
            // IHDR's width and height, with its checksum made good.
            bytes[16..20].copy_from_slice(&width.to_be_bytes());
            bytes[20..24].copy_from_slice(&height.to_be_bytes());
            let crc = crc32(&bytes[12..29]);
            bytes[29..33].copy_from_slice(&crc.to_be_bytes());
            let error = decode(&bytes).unwrap_err();
            assert!(matches!(error, Error::ImageTooLarge { .. }), "{error}");
        }
    }

    #[test]
    fn bytes_cut_anywhere_are_errors_not_panics() {
        let bytes = png(&RgbaImage::from_pixel(8, 8, Rgba([1, 2, 3, 255])));
        for length in 0..bytes.len() - 12 {
            assert!(decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        for noise in [&b""[..], b"GIF89a", b"RIFF\0\0\0\0WEBP", &[0xff; 4096]] {
            assert!(decode(noise).is_err());
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |mut crc, &byte| {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ 0xedb8_8320
                } else {
                    crc >> 1
                };
            }
            crc
        })
    }
}
