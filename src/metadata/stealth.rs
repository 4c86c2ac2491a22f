//! Texts hidden in the lowest bit of a PNG's opacity, column by column, as the stealth extension of AUTOMATIC1111 and
//! NovelAI write them: a magic word, the length in bits, and the text, gzipped or not.

use std::io::{Cursor, Read};

use flate2::read::GzDecoder;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbaImage};

use super::json::Object;
use super::{MAX_TEXT_BYTES, Texts};
use crate::image::decode::{check_size, limits};

/// The texts of a PNG file that hides some.
pub(super) fn texts(file: &[u8]) -> Option<Texts> {
    let pixels = opaque_pixels(file)?;
    let mut bits = Bits::of(&pixels);
    let magic = bits.bytes(MAGIC_BYTES)?;
    let is_gzipped = match magic.as_slice() {
        b"stealth_pnginfo" => false,
        b"stealth_pngcomp" => true,
        _ => return None,
    };
    let len = u32::from_be_bytes(*bits.bytes(4)?.first_chunk()?) / 8;
    let hidden = bits.bytes(usize::try_from(len).ok()?)?;
    let text = if is_gzipped {
        let mut text = vec![];
        let limit = MAX_TEXT_BYTES as u64;
        GzDecoder::new(hidden.as_slice())
            .take(limit)
            .read_to_end(&mut text)
            .ok()?;
        text
    } else {
        hidden
    };
    let text = String::from_utf8(text).ok()?;
    // NovelAI hides its chunks of text as one object.
    let Some(object) = Object::parse(&text) else {
        return Some(Texts(vec![("parameters".to_owned(), text)]));
    };
    let texts = object.0.into_iter().map(|(keyword, value)| {
        let text = value.as_str().map(str::to_owned);
        (keyword, text.unwrap_or_else(|| value.to_string()))
    });
    Some(Texts(texts.collect()))
}

const MAGIC_BYTES: usize = 15;

/// The pixels of a PNG file with opacity of eight bits; `None` for any other file, so that few are decoded.
fn opaque_pixels(file: &[u8]) -> Option<RgbaImage> {
    let mut reader = ImageReader::with_format(Cursor::new(file), ImageFormat::Png);
    reader.limits(limits());
    let decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    if decoder.color_type() != image::ColorType::Rgba8 || check_size(width, height).is_err() {
        return None;
    }
    match DynamicImage::from_decoder(decoder).ok()? {
        DynamicImage::ImageRgba8(pixels) => Some(pixels),
        _ => None,
    }
}

/// The lowest bits of the opacity, column by column.
struct Bits<'a> {
    pixels: &'a RgbaImage,
    next: u64,
}

impl<'a> Bits<'a> {
    fn of(pixels: &'a RgbaImage) -> Self {
        Self { pixels, next: 0 }
    }

    /// The next bytes, highest bits first; `None` if fewer are left.
    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let (width, height) = self.pixels.dimensions();
        let left = u64::from(width) * u64::from(height) - self.next;
        if u64::try_from(count).ok()?.checked_mul(8)? > left {
            return None;
        }
        let height = u64::from(height);
        let mut bit = || {
            let (x, y) = ((self.next / height) as u32, (self.next % height) as u32);
            self.next += 1;
            self.pixels.get_pixel(x, y).0[3] & 1
        };
        Some(
            (0..count)
                .map(|_| (0..8).fold(0, |byte, _| byte << 1 | bit()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::read;
    use super::*;

    /// A picture that hides `bytes`.
    fn hiding(bytes: &[u8]) -> Vec<u8> {
        let mut pixels = RgbaImage::from_pixel(40, 60, image::Rgba([9, 8, 7, 255]));
        let bits = bytes
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
        for (bit, place) in bits.zip(0u32..) {
            pixels.get_pixel_mut(place / 60, place % 60).0[3] = 254 | bit;
        }
        let mut file = Cursor::new(vec![]);
        pixels.write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    }

    fn stealth(magic: &str, text: &[u8]) -> Vec<u8> {
        let len = (8 * text.len() as u32).to_be_bytes();
        [magic.as_bytes(), &len, text].concat()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn hidden_texts_are_read() {
        let text = b"a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5";
        let novelai =
            br#"{"Software": "NovelAI", "Description": "a cat", "Comment": "{\"seed\": 5}"}"#;
        for (file, generator) in [
            (hiding(&stealth("stealth_pnginfo", text)), "automatic1111"),
            (
                hiding(&stealth("stealth_pngcomp", &gzip(text))),
                "automatic1111",
            ),
            (
                hiding(&stealth("stealth_pngcomp", &gzip(novelai))),
                "novelai",
            ),
        ] {
            let embedded = read(&file).unwrap();
            assert_eq!(embedded.generator, generator);
            assert_eq!(
                (embedded.prompt.as_str(), embedded.seed),
                ("a cat", Some(5))
            );
        }
    }

    #[test]
    fn whatever_else_is_there_hides_nothing() {
        let mut long = stealth("stealth_pnginfo", b"a cat");
        long[MAGIC_BYTES..][..4].copy_from_slice(&u32::MAX.to_be_bytes());
        let bomb = gzip(&vec![b'a'; 1 << 20]);
        for bytes in [
            b"stealth_".to_vec(),
            long,
            stealth("stealth_pngcomp", b"no gzip"),
            stealth("stealth_pnginfo", b"\xff\xfe"),
            vec![],
        ] {
            assert_eq!(read(&hiding(&bytes)), None, "{bytes:?}");
        }
        // A text that unpacks to much is no danger.
        assert!(bomb.len() < 2000);
        let embedded = read(&hiding(&stealth(
            "stealth_pngcomp",
            &bomb[..bomb.len().min(200)],
        )));
        assert!(embedded.is_none());
    }
}
