//! The medium: how a finished scene looks as a photograph, a painting, a drawing or a game.

use image::RgbImage;
use image::imageops::{self, FilterType};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::SIDE;
use super::canvas::{Canvas, Rgb, luma, mix};
use crate::pocket::meaning::Medium;

const PAPER: Rgb = [0.97, 0.95, 0.90];

/// Does the scene on `canvas` in `medium`.
pub(super) fn apply(canvas: Canvas, medium: Medium, rng: &mut ChaCha8Rng) -> RgbImage {
    let scene = canvas.picture();
    match medium {
        Medium::Photograph => photograph(&scene, rng),
        Medium::Oil => oil(&scene, rng),
        Medium::Watercolor => watercolor(&scene, rng),
        Medium::Pencil => pencil(&scene, rng),
        Medium::Pixel => pixel(&scene),
        Medium::Comic => comic(&scene),
    }
}

/// Soft, with grain, dark towards the corners.
fn photograph(scene: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
    let soft = imageops::blur(scene, 0.55);
    map(&soft, |x, y, colour| {
        let shade = 1.0 - 0.42 * from_centre(x, y).powi(2);
        let grain = rng.random_range(-0.025..0.025);
        colour.map(|channel| channel * shade + grain)
    })
}

/// Short thick strokes over the whole scene, large ones first.
fn oil(scene: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
    let mut canvas = Canvas::from_picture(scene);
    let bend = rng.random_range(0.0..6.0);
    for (count, length, width) in [(90, 6.0, 2.8), (320, 3.6, 1.5), (800, 2.0, 1.0)] {
        for _ in 0..count {
            let (x, y) = (rng.random_range(0..SIDE), rng.random_range(0..SIDE));
            let brightness = rng.random_range(0.84..1.14);
            let colour = rgb(scene, x, y).map(|channel| channel * brightness);
            let (x, y) = (x as f32, y as f32);
            let angle =
                (x * 0.08 + bend).sin() + (y * 0.1 - bend).cos() + rng.random_range(-0.4..0.4);
            let (dx, dy) = (angle.cos() * length / 2.0, angle.sin() * length / 2.0);
            canvas.line(&[(x - dx, y - dy), (x + dx, y + dy)], width, colour, 0.9);
        }
    }
    canvas.picture()
}

/// Thin washes that leave a ragged border of paper.
fn watercolor(scene: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
    let wash = imageops::blur(scene, 0.6);
    let phases: [f32; 4] = std::array::from_fn(|_| rng.random_range(0.0..6.0));
    map(&wash, |x, y, colour| {
        let (fx, fy) = (x as f32, y as f32);
        let cloud = (fx * 0.23 + phases[0]).sin() * (fy * 0.19 + phases[1]).sin()
            + 0.5 * (fx * 0.51 + fy * 0.37 + phases[2]).sin();
        let thin = mix(colour, PAPER, 0.20 + 0.10 * cloud);
        let ragged = 4.5 + (fx * 0.7 + phases[3]).sin() + (fy * 0.6 + phases[0]).sin() * 1.2;
        let inside = fx.min(fy).min(63.0 - fx).min(63.0 - fy) - ragged;
        let paper = (0.5 - inside * 0.5).clamp(0.0, 1.0);
        // Pigment gathers where a wash dries: a darker rim just inside the paper.
        let rim = if (0.0..2.0).contains(&inside) {
            0.86
        } else {
            1.0
        };
        mix(thin.map(|channel| channel * rim), PAPER, paper)
    })
}

/// Coloured hatching and dark contours on paper.
fn pencil(scene: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
    let phase = rng.random_range(0..4);
    map(scene, |x, y, colour| {
        let darkness = 1.0 - luma(colour);
        let hatch = if (x + y + phase) % 4 < 2 { 0.80 } else { 0.50 };
        let cross = if darkness > 0.6 && (x + SIDE - y + phase) % 4 < 2 {
            0.15
        } else {
            0.0
        };
        let pressed = (hatch + cross) * (0.62 + 0.30 * darkness) + rng.random_range(-0.08..0.08);
        let shaded = mix(PAPER, colour, pressed);
        let contour = (edge(scene, x, y) * 1.7 - 0.25).clamp(0.0, 0.85);
        mix(shaded, [0.16, 0.15, 0.17], contour)
    })
}

/// Blocks of two pixels in few colours.
fn pixel(scene: &RgbImage) -> RgbImage {
    let small = imageops::resize(scene, SIDE / 2, SIDE / 2, FilterType::Triangle);
    let few = map(&small, |_, _, colour| {
        colour.map(|channel| (channel * 5.0).round() / 5.0)
    });
    imageops::resize(&few, SIDE, SIDE, FilterType::Nearest)
}

/// Flat colours, ink contours, halftone dots in the shade, a black frame.
fn comic(scene: &RgbImage) -> RgbImage {
    map(scene, |x, y, colour| {
        let frame = x.min(y).min(SIDE - 1 - x).min(SIDE - 1 - y);
        if frame < 2 {
            return [0.04, 0.04, 0.05];
        }
        let grey = luma(colour);
        let vivid = colour.map(|channel| ((grey + (channel - grey) * 1.35) * 3.0).round() / 3.0);
        let dot = (x % 4 < 2) && (y % 4 < 2);
        let toned = if dot && grey < 0.72 {
            vivid.map(|channel| channel * 0.62)
        } else {
            vivid
        };
        if edge(scene, x, y) > 0.42 {
            [0.04, 0.04, 0.05]
        } else {
            toned
        }
    })
}

/// Applies `change` to every pixel, as colours in [0, 1].
fn map(picture: &RgbImage, mut change: impl FnMut(u32, u32, Rgb) -> Rgb) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let colour = change(x, y, rgb(picture, x, y));
        image::Rgb(colour.map(|channel| (channel.clamp(0.0, 1.0) * 255.0).round() as u8))
    })
}

fn rgb(picture: &RgbImage, x: u32, y: u32) -> Rgb {
    picture
        .get_pixel(x, y)
        .0
        .map(|channel| f32::from(channel) / 255.0)
}

/// Distance from the centre: 0 there, 1 in the corners.
fn from_centre(x: u32, y: u32) -> f32 {
    let half = (SIDE - 1) as f32 / 2.0;
    ((x as f32 - half).hypot(y as f32 - half)) / half.hypot(half)
}

/// Strength of the lightness step at a pixel (central differences), in [0, 1.4].
fn edge(picture: &RgbImage, x: u32, y: u32) -> f32 {
    let light = |x: i64, y: i64| {
        let clamp = |v: i64| v.clamp(0, i64::from(SIDE) - 1) as u32;
        luma(rgb(picture, clamp(x), clamp(y)))
    };
    let (x, y) = (i64::from(x), i64::from(y));
    (light(x + 1, y) - light(x - 1, y)).hypot(light(x, y + 1) - light(x, y - 1))
}
