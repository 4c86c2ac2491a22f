//! Images that are of another world than the one that a model has learnt from.

use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::pocket::render::SIDE;

/// `count` images: noise, plain colours, waves of colours, and discs on plain ground, in turn; equal seeds give
/// equal images.
pub fn images(count: usize, seed: u64) -> Vec<RgbImage> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draw = |number| match number % 4 {
        0 => noise(&mut rng),
        1 => {
            let colour = colour(&mut rng);
            RgbImage::from_pixel(SIDE, SIDE, colour)
        }
        2 => waves(&mut rng),
        _ => discs(&mut rng),
    };
    (0..count).map(draw).collect()
}

fn colour(rng: &mut ChaCha8Rng) -> Rgb<u8> {
    Rgb(std::array::from_fn(|_| rng.random()))
}

fn noise(rng: &mut ChaCha8Rng) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |_, _| colour(rng))
}

fn waves(rng: &mut ChaCha8Rng) -> RgbImage {
    let waves: [[f32; 3]; 3] =
        std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(0.0..6.3)));
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let [x, y] = [x, y].map(|at| 2.0 * at as f32 / SIDE as f32);
        Rgb(waves.map(|[phase, across, down]| {
            (127.5 + 127.5 * (phase + across * x + down * y).sin()) as u8
        }))
    })
}

fn discs(rng: &mut ChaCha8Rng) -> RgbImage {
    let side = SIDE as f32;
    let mut image = RgbImage::from_pixel(SIDE, SIDE, colour(rng));
    for _ in 0..8 {
        let [x, y] = std::array::from_fn(|_| rng.random_range(0.0..side));
        let (radius, colour) = (rng.random_range(0.06..0.3) * side, colour(rng));
        for (column, row, pixel) in image.enumerate_pixels_mut() {
            if (column as f32 - x).hypot(row as f32 - y) < radius {
                *pixel = colour;
            }
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_another_and_seeds_repeat_them() {
        let made = images(8, 1);
        assert!(made.iter().all(|image| image.dimensions() == (SIDE, SIDE)));
        for (place, image) in made.iter().enumerate() {
            assert!(!made[..place].contains(image), "{place}");
        }
        assert_eq!(images(8, 1), made);
        assert_ne!(images(8, 2), made);
    }
}
