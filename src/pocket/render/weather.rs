//! What hangs behind the subjects and what falls before them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::SIDE;
use super::canvas::{Canvas, Rgb};
use crate::pocket::meaning::Weather;

const RIGHT: f32 = SIDE as f32;

/// Clouds, haze and lightning, behind the subjects.
pub(super) fn behind(canvas: &mut Canvas, weather: Weather, rng: &mut ChaCha8Rng) {
    match weather {
        Weather::Clear | Weather::Snow => {}
        Weather::Rain => clouds(canvas, [0.62, 0.65, 0.70], 0.85, rng),
        Weather::Fog => fog(canvas, 0.46, 6, rng),
        Weather::Storm => {
            clouds(canvas, [0.20, 0.19, 0.27], 0.95, rng);
            lightning(canvas, rng);
        }
    }
}

/// Drops, flakes and thin haze, before the subjects.
pub(super) fn before(canvas: &mut Canvas, weather: Weather, rng: &mut ChaCha8Rng) {
    match weather {
        Weather::Clear => {}
        Weather::Rain => streaks(canvas, 46, rng),
        Weather::Snow => snow(canvas, rng),
        Weather::Fog => fog(canvas, 0.12, 3, rng),
        Weather::Storm => streaks(canvas, 14, rng),
    }
}

fn clouds(canvas: &mut Canvas, colour: Rgb, alpha: f32, rng: &mut ChaCha8Rng) {
    let mut x = rng.random_range(-4.0..2.0);
    while x < RIGHT + 4.0 {
        let (rx, ry) = (rng.random_range(7.0..10.0), rng.random_range(4.0..6.5));
        canvas.ellipse_alpha(x, rng.random_range(0.0..3.5), rx, ry, colour, alpha);
        x += rng.random_range(7.0..10.0);
    }
}

fn streaks(canvas: &mut Canvas, count: usize, rng: &mut ChaCha8Rng) {
    for _ in 0..count {
        let (x, y) = (
            rng.random_range(-4.0..RIGHT + 8.0),
            rng.random_range(4.0..RIGHT),
        );
        let length = rng.random_range(4.0..7.0);
        let drop = [(x, y), (x - length * 0.35, y + length)];
        canvas.line(&drop, 0.7, [0.72, 0.84, 1.0], 0.75);
    }
}

fn snow(canvas: &mut Canvas, rng: &mut ChaCha8Rng) {
    for _ in 0..70 {
        let radius = rng.random_range(0.5..1.2);
        let (x, y) = (rng.random_range(0.0..RIGHT), rng.random_range(0.0..RIGHT));
        canvas.ellipse_alpha(x, y, radius, radius, [1.0, 1.0, 1.0], 0.95);
    }
}

fn fog(canvas: &mut Canvas, alpha: f32, banks: usize, rng: &mut ChaCha8Rng) {
    let haze = [0.86, 0.87, 0.89];
    let everywhere = [(0.0, 0.0), (RIGHT, 0.0), (RIGHT, RIGHT), (0.0, RIGHT)];
    canvas.polygon_alpha(&everywhere, haze, alpha);
    for _ in 0..banks {
        let (x, y) = (rng.random_range(0.0..RIGHT), rng.random_range(14.0..60.0));
        let (rx, ry) = (rng.random_range(16.0..30.0), rng.random_range(2.0..4.0));
        canvas.ellipse_alpha(x, y, rx, ry, haze, 0.32);
    }
}

fn lightning(canvas: &mut Canvas, rng: &mut ChaCha8Rng) {
    let mut x = rng.random_range(8.0..RIGHT - 8.0);
    let mut bolt = vec![(x, 4.0)];
    for step in 1..=5 {
        x += rng.random_range(1.5..5.0) * if step % 2 == 0 { -1.0 } else { 1.0 };
        bolt.push((x, 4.0 + step as f32 * 6.0));
    }
    canvas.line(&bolt, 3.4, [0.80, 0.80, 1.0], 0.35);
    canvas.line(&bolt, 1.5, [1.0, 1.0, 0.75], 1.0);
}
