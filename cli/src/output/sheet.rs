//! The contact sheet: images with two texts beneath each, as a rule the true and the found prompt.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use anyhow::{Context, Result};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

/// One image of the sheet.
pub(crate) struct Entry {
    pub(crate) image: RgbImage,
    pub(crate) truth: String,
    pub(crate) found: String,
    /// Beneath the prompts: verdict, confidence, cosine.
    pub(crate) note: String,
    /// Whether `found` says the same as `truth`.
    pub(crate) same: bool,
}

const COLUMNS: u32 = 4;
const CELL_WIDTH: u32 = 320;
const IMAGE_SIDE: u32 = 256;
const MARGIN: u32 = 16;
const FONT_PX: f32 = 15.0;
const LINE_PX: u32 = 19;

/// Lines that a prompt may take before it is cut off.
const MAX_LINES: usize = 5;

const PAPER: Rgb<u8> = Rgb([250, 249, 246]);
const INK: Rgb<u8> = Rgb([40, 40, 44]);
const FAINT: Rgb<u8> = Rgb([120, 120, 126]);
const RIGHT: Rgb<u8> = Rgb([20, 120, 60]);
const WRONG: Rgb<u8> = Rgb([170, 80, 20]);

/// Draws the sheet; `titles` stand above the two texts of each image.
///
/// # Errors
/// If the built-in font cannot be read.
pub(crate) fn draw(entries: &[Entry], titles: [&str; 2]) -> Result<RgbImage> {
    let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT)
        .context("the built-in font is damaged")?;
    let text_lines = 2 * MAX_LINES as u32 + 3;
    let cell_height = IMAGE_SIDE + text_lines * LINE_PX + MARGIN;
    let rows = (entries.len() as u32).div_ceil(COLUMNS);
    let (width, height) = (COLUMNS * CELL_WIDTH + MARGIN, rows * cell_height + MARGIN);
    let mut sheet = RgbImage::from_pixel(width, height, PAPER);
    for (entry, place) in entries.iter().zip(0..) {
        let left = MARGIN + place % COLUMNS * CELL_WIDTH;
        let top = MARGIN + place / COLUMNS * cell_height;
        let large = imageops::resize(&entry.image, IMAGE_SIDE, IMAGE_SIDE, FilterType::Nearest);
        imageops::replace(&mut sheet, &large, i64::from(left), i64::from(top));
        let mut pen = Pen {
            sheet: &mut sheet,
            font: &font,
            left,
            top: top + IMAGE_SIDE + 6,
        };
        pen.line(titles[0], FAINT);
        pen.paragraph(&entry.truth, INK);
        pen.line(titles[1], FAINT);
        pen.paragraph(&entry.found, if entry.same { RIGHT } else { WRONG });
        pen.line(&entry.note, FAINT);
    }
    Ok(sheet)
}

/// Writes lines of text downwards.
struct Pen<'a> {
    sheet: &'a mut RgbImage,
    font: &'a FontRef<'static>,
    left: u32,
    top: u32,
}

impl Pen<'_> {
    fn line(&mut self, text: &str, colour: Rgb<u8>) {
        let scaled = self.font.as_scaled(PxScale::from(FONT_PX));
        let baseline = self.top as f32 + scaled.ascent();
        let mut x = self.left as f32;
        for character in text.chars() {
            let glyph = scaled.scaled_glyph(character);
            let advance = scaled.h_advance(glyph.id);
            let mut glyph = glyph;
            glyph.position = point(x, baseline);
            if let Some(outline) = self.font.outline_glyph(glyph) {
                let corner = outline.px_bounds().min;
                outline.draw(|dx, dy, coverage| {
                    let (x, y) = (
                        corner.x as i64 + i64::from(dx),
                        corner.y as i64 + i64::from(dy),
                    );
                    blend(self.sheet, x, y, colour, coverage);
                });
            }
            x += advance;
        }
        self.top += LINE_PX;
    }

    fn paragraph(&mut self, text: &str, colour: Rgb<u8>) {
        let mut lines = self.wrap(text);
        if lines.len() > MAX_LINES {
            lines.truncate(MAX_LINES);
            if let Some(last) = lines.last_mut() {
                last.push_str(" ...");
            }
        }
        for line in lines {
            self.line(&line, colour);
        }
    }

    fn wrap(&self, text: &str) -> Vec<String> {
        let scaled = self.font.as_scaled(PxScale::from(FONT_PX));
        let width = |text: &str| -> f32 {
            text.chars()
                .map(|c| scaled.h_advance(scaled.glyph_id(c)))
                .sum()
        };
        let limit = (CELL_WIDTH - 2 * MARGIN) as f32;
        let mut lines: Vec<String> = vec![];
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if width(line) + width(" ") + width(word) <= limit => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }
}

fn blend(sheet: &mut RgbImage, x: i64, y: i64, colour: Rgb<u8>, coverage: f32) {
    let inside = |value: i64, limit: u32| u32::try_from(value).ok().filter(|&value| value < limit);
    let place = inside(x, sheet.width()).zip(inside(y, sheet.height()));
    if let Some((x, y)) = place {
        let pixel = sheet.get_pixel_mut(x, y);
        for (channel, ink) in pixel.0.iter_mut().zip(colour.0) {
            let (old, ink) = (f32::from(*channel), f32::from(ink));
            *channel = (old + (ink - old) * coverage.clamp(0.0, 1.0)).round() as u8;
        }
    }
}
