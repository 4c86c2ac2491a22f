//! Draws a [`Meaning`] as a 64 x 64 picture.
//!
//! A scene is painted back to front: sky and place ([`backdrop`]), the subjects ([`subject`]), and
//! the [`weather`] behind and before them. Last, the whole picture is done again in its medium
//! ([`medium`]). What the meaning leaves open (positions, sizes, strokes, grain) comes
//! from the seed.

mod backdrop;
mod canvas;
mod medium;
mod subject;
mod weather;

use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::canvas::Canvas;
use super::meaning::{Composition, Count, Meaning};

/// Width and height of a pocket image in pixels.
pub const SIDE: u32 = 64;

/// The picture of `meaning`; equal arguments give equal pixels.
pub fn render(meaning: Meaning, seed: u64) -> RgbImage {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut canvas = Canvas::new();
    let horizon = rng.random_range(36.0..44.0);
    backdrop::paint(&mut canvas, meaning, horizon, &mut rng);
    weather::behind(&mut canvas, meaning.weather, &mut rng);
    for spot in spots(meaning, &mut rng) {
        subject::paint(&mut canvas, meaning, spot);
    }
    weather::before(&mut canvas, meaning.weather, &mut rng);
    medium::apply(canvas, meaning.medium, &mut rng)
}

/// Where one subject stands: centre and half its size, in pixels.
#[derive(Clone, Copy, Debug)]
struct Spot {
    x: f32,
    y: f32,
    radius: f32,
    /// Whether it is seen mirrored.
    mirrored: bool,
}

fn spots(meaning: Meaning, rng: &mut ChaCha8Rng) -> Vec<Spot> {
    let radius = match (meaning.composition, meaning.count) {
        (Composition::Close, Count::One) => 23.0,
        (Composition::Close, Count::Two) => 15.5,
        (Composition::Close, Count::Three) => 13.0,
        (Composition::Medium, Count::One) => 15.5,
        (Composition::Medium, Count::Two) => 12.0,
        (Composition::Medium, Count::Three) => 10.4,
        (Composition::Wide, Count::One) => 10.0,
        (Composition::Wide, Count::Two) => 9.0,
        (Composition::Wide, Count::Three) => 8.2,
    };
    let columns: &[(f32, f32)] = match meaning.count {
        Count::One => &[(32.0, 0.0)],
        Count::Two => &[(17.5, -2.0), (46.5, 2.0)],
        Count::Three => &[(12.0, 3.0), (32.0, -6.0), (52.0, 3.0)],
    };
    let jitter = (64.0 - columns.len() as f32 * 2.0 * radius).clamp(2.0, 14.0) / 4.0;
    let middle = if meaning.composition == Composition::Close {
        36.0
    } else {
        41.0
    };
    columns
        .iter()
        .map(|&(x, dy)| Spot {
            x: x + rng.random_range(-jitter..jitter),
            y: middle + dy + rng.random_range(-2.0..2.0),
            radius: radius * rng.random_range(0.92..1.08),
            mirrored: rng.random_bool(0.5),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pocket::{Prompts, Split};

    #[test]
    fn equal_seeds_give_equal_pictures_and_other_seeds_do_not() {
        for prompt in Prompts::new(3, Split::Test).take(50) {
            let picture = prompt.render();
            assert_eq!(picture.dimensions(), (SIDE, SIDE));
            assert_eq!(picture, render(prompt.meaning, prompt.seed));
            assert_ne!(picture, render(prompt.meaning, prompt.seed ^ 1));
        }
    }

    #[test]
    fn every_attribute_leaves_a_trace() {
        for prompt in Prompts::new(4, Split::Test).take(20) {
            let picture = prompt.render();
            for (attribute, radix) in Meaning::RADICES.into_iter().enumerate() {
                let mut values = prompt.meaning.values();
                values[attribute] = (values[attribute] + 1) % radix;
                let other = render(Meaning::from_values(values), prompt.seed);
                assert_ne!(picture, other, "{}", Meaning::ATTRIBUTES[attribute]);
            }
        }
    }
}
