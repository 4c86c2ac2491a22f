//! Streams of pocket prompts, each with its meaning and the seed of its image.

use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Meaning, Split, grammar, render};

/// A prompt of the pocket world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PocketPrompt {
    /// The words.
    pub text: String,
    /// What they mean.
    pub meaning: Meaning,
    /// The seed of its image: positions, strokes and grain, as a diffusion model's noise.
    pub seed: u64,
}

impl PocketPrompt {
    /// The image of this prompt, [`render::SIDE`] pixels square.
    pub fn render(&self) -> RgbImage {
        render::render(self.meaning, self.seed)
    }
}

/// An endless stream of prompts of one side of the split; equal seeds give equal streams.
#[derive(Clone, Debug)]
pub struct Prompts {
    rng: ChaCha8Rng,
    split: Split,
}

impl Prompts {
    /// The stream of `seed`, restricted to meanings of `split`.
    pub fn new(seed: u64, split: Split) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            split,
        }
    }
}

impl Iterator for Prompts {
    type Item = PocketPrompt;

    fn next(&mut self) -> Option<PocketPrompt> {
        loop {
            let values = Meaning::RADICES.map(|radix| self.rng.random_range(0..radix));
            let meaning = Meaning::from_values(values);
            if Split::of(meaning) == self.split {
                let text = grammar::word(meaning, &mut self.rng);
                return Some(PocketPrompt {
                    text,
                    meaning,
                    seed: self.rng.random(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn streams_are_reproducible_and_nearly_free_of_repeats() {
        let first: Vec<_> = Prompts::new(1, Split::Test).take(20_000).collect();
        let again: Vec<_> = Prompts::new(1, Split::Test).take(20_000).collect();
        assert_eq!(first, again);
        let texts: HashSet<_> = first.iter().map(|prompt| &prompt.text).collect();
        assert!(texts.len() > 19_500, "{} distinct of 20000", texts.len());
        assert!(
            first
                .iter()
                .all(|prompt| Split::of(prompt.meaning) == Split::Test)
        );
    }
}
