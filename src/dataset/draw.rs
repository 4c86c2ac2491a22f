//! What each image is made from: a prompt of the pocket world, and settings drawn beside it.

use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::diffusion::sampler::SamplerKind;
use crate::diffusion::text_to_image::{GenerateOptions, Order};
use crate::pocket::{Prompts, Split};

/// The fewest and the most steps from noise to image.
pub const STEPS: [u16; 2] = [8, 16];

/// The weakest and the strongest guidance; between them it is drawn in halves.
pub const GUIDANCE: [f32; 2] = [2.0, 5.0];

/// The samplers that images are drawn for. Others would make other data sets of the same seeds.
pub const SAMPLERS: [SamplerKind; 2] = [SamplerKind::Ddim, SamplerKind::Euler];

/// The month that times are drawn from, in which DiffusionDB's images were made: 2022-08-01 in seconds
/// since 1970 UTC, and its minutes.
const MONTH: (i64, i64) = (1_659_312_000, 31 * 24 * 60);

/// One image to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// The name of its file, a random UUID.
    pub image_name: String,
    /// What it shows.
    pub prompt: String,
    /// Seed of the first noise.
    pub seed: u32,
    /// Steps from noise to image.
    pub steps: u16,
    /// How strictly the prompt is followed.
    pub guidance: f32,
    /// The way through the steps.
    pub sampler: SamplerKind,
    /// When it was made, in seconds since 1970 UTC: made up, since a clock would make every copy of a
    /// data set differ.
    pub timestamp_s: i64,
}

impl Draw {
    /// The order for it.
    pub fn order(&self) -> Order {
        Order {
            prompt: self.prompt.clone(),
            negative_prompt: String::new(),
            seed: self.seed.into(),
            options: GenerateOptions {
                sampler: self.sampler,
                steps: self.steps.into(),
                guidance: self.guidance.into(),
            },
        }
    }
}

/// An endless stream of images of one side; equal seeds give equal streams.
#[derive(Clone, Debug)]
pub struct Draws {
    prompts: Prompts,
    rng: ChaCha8Rng,
}

impl Draws {
    /// The stream of `seed`, with meanings of `side`.
    pub fn new(seed: u64, side: Split) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The prompts are drawn from stream 0.
        rng.set_stream(1 + side as u64);
        Self {
            prompts: Prompts::new(seed, side),
            rng,
        }
    }
}

impl Iterator for Draws {
    type Item = Draw;

    fn next(&mut self) -> Option<Draw> {
        let prompt = self.prompts.next()?.text;
        let rng = &mut self.rng;
        let [weakest, strongest] = GUIDANCE.map(|guidance| (guidance * 2.0) as u16);
        Some(Draw {
            image_name: format!("{}.png", uuid(rng.random())),
            prompt,
            seed: rng.random(),
            steps: rng.random_range(STEPS[0]..=STEPS[1]),
            guidance: f32::from(rng.random_range(weakest..=strongest)) / 2.0,
            sampler: SAMPLERS.choose(rng).copied().unwrap_or_default(),
            timestamp_s: MONTH.0 + 60 * rng.random_range(0..MONTH.1),
        })
    }
}

/// Random bits as a UUID of version 4 (RFC 9562, s. 5.4).
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) | 0x4 << 76;
    let bits = bits & !(0x3 << 62) | 0x2 << 62;
    let digits = format!("{bits:032x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| &digits[group]);
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn streams_are_reproducible_and_stay_within_their_bounds() {
        let draws: Vec<_> = Draws::new(1, Split::Train).take(2000).collect();
        let again: Vec<_> = Draws::new(1, Split::Train).take(2000).collect();
        assert_eq!(draws, again);
        let prompts: Vec<_> = Prompts::new(1, Split::Train).take(2000).collect();
        for (draw, prompt) in draws.iter().zip(&prompts) {
            assert_eq!(draw.prompt, prompt.text);
            assert!((8..=16).contains(&draw.steps), "{draw:?}");
            assert!((2.0..=5.0).contains(&draw.guidance), "{draw:?}");
            assert_eq!((draw.guidance * 2.0).fract(), 0.0);
        }
        let distinct = |value: fn(&Draw) -> String| {
            let values: HashSet<String> = draws.iter().map(value).collect();
            values.len()
        };
        assert_eq!(distinct(|draw| draw.image_name.clone()), 2000);
        assert_eq!(distinct(|draw| draw.steps.to_string()), 9);
        assert_eq!(distinct(|draw| draw.guidance.to_string()), 7);
        assert_eq!(distinct(|draw| draw.sampler.to_string()), 2);
    }

    #[test]
    fn sides_and_seeds_share_no_image() {
        let mut names = HashSet::new();
        for seed in [1, 2] {
            for side in Split::ALL {
                let draws = Draws::new(seed, side).take(100);
                names.extend(draws.map(|draw| draw.image_name));
            }
        }
        assert_eq!(names.len(), 600);
    }

    #[test]
    fn names_are_random_uuids() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
