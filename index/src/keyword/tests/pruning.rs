//! What leaving hopeless prompts out must not change.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::*;

/// Prompts in all: several windows.
const PROMPTS: u32 = 60_000;

/// Words that they are made of; the next is always rarer.
const WORDS: usize = 400;

/// Where the corpus is cut into segments.
const CUTS: [u32; 4] = [0, 25_000, 25_100, PROMPTS];

/// The same prompts in one folder and in several, and how many words each has.
struct Folders {
    whole: (TempDir, Prompts),
    cut: Vec<(TempDir, Prompts)>,
    lengths: Vec<u64>,
}

static FOLDERS: LazyLock<Folders> = LazyLock::new(|| {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut text = |_| {
        let words = rng.random_range(1..14);
        // Squares of uniform numbers are small more often than not. Few lengths and words make many ties.
        let mut word = || {
            let place: f32 = rng.random();
            format!("w{}", (place.powi(4) * WORDS as f32) as usize)
        };
        (0..words).map(|_| word()).collect::<Vec<_>>().join(" ")
    };
    let texts: Vec<String> = (0..PROMPTS).map(&mut text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let cut = CUTS.windows(2);
    Folders {
        whole: prompts(&texts),
        cut: cut
            .map(|cut| prompts(&texts[cut[0] as usize..cut[1] as usize]))
            .collect(),
        lengths: texts
            .iter()
            .map(|it| it.split(' ').count() as u64)
            .collect(),
    }
});

/// Rows of all prompts that are deleted, and those that a filter selects.
#[derive(Clone, Debug)]
struct Left {
    deleted: RoaringBitmap,
    selected: Option<RoaringBitmap>,
}

impl Left {
    /// The best of a folder for each cut: number of the prompt, and bits of its score.
    fn best(
        &self,
        folders: &[&Prompts],
        cuts: &[u32],
        words: &KeywordQuery,
        k: usize,
    ) -> Vec<(u32, u32)> {
        let within = |rows: &RoaringBitmap, cut: &[u32]| -> RoaringBitmap {
            rows.range(cut[0]..cut[1]).map(|row| row - cut[0]).collect()
        };
        let sets: Vec<_> = cuts
            .windows(2)
            .map(|cut| {
                let all: RoaringBitmap = (cut[0]..cut[1]).collect();
                let tokens = self.deleted.range(cut[0]..cut[1]);
                let tokens: u64 = tokens.map(|row| FOLDERS.lengths[row as usize]).sum();
                let accept = self.selected.as_ref().unwrap_or(&all) - &self.deleted;
                (within(&self.deleted, cut), tokens, within(&accept, cut))
            })
            .collect();
        let folders = folders.iter().zip(cuts.windows(2)).zip(&sets).zip(0..);
        let parts = folders.map(
            |(((prompts, cut), (deleted, tokens, accept)), segment)| Part {
                segment,
                prompts,
                rows: (cut[1] - cut[0]) as usize,
                deleted: (!deleted.is_empty()).then_some((deleted, *tokens)),
                accept: (self.selected.is_some() || !deleted.is_empty()).then_some(accept),
                id: Box::new(move |row| Ok(PromptId::of(&(cut[0] + row).to_string()))),
            },
        );
        let corpus = Corpus {
            parts: parts.collect(),
        };
        let found = corpus.best(words, k).unwrap();
        let number = |segment: u32, row: u32| cuts[segment as usize] + row;
        found
            .iter()
            .map(|it| {
                (
                    number(it.entry.segment, it.entry.ordinal),
                    it.score.to_bits(),
                )
            })
            .collect()
    }
}

fn every(step: Option<u32>, first: u32) -> Option<RoaringBitmap> {
    let step = step?;
    Some((first % step..PROMPTS).step_by(step as usize).collect())
}

fn words() -> impl Strategy<Value = Vec<(String, f32)>> {
    let boost = prop_oneof![Just(1.0f32), 0.001f32..1.0, Just(1e-42), Just(1e30)];
    // The first words are in most prompts.
    let place = prop_oneof![0..12usize, 0..WORDS];
    vec((place.prop_map(|place| format!("w{place}")), boost), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// All that have any of the words are wanted, so that nothing can be left out, or only a few.
    #[test]
    fn the_best_are_those_of_scoring_everything_to_the_last_bit(
        words in words(),
        k in prop_oneof![1..4usize, 10..200usize],
        deleted in proptest::option::of(2..50u32),
        selected in proptest::option::of(1..30u32),
    ) {
        let words = KeywordQuery::Weighted(words);
        let deleted = every(deleted, 1).unwrap_or_default();
        let left = Left { deleted, selected: every(selected, 2) };
        let whole = [&FOLDERS.whole.1];
        let all = left.best(&whole, &[0, PROMPTS], &words, usize::MAX);
        let expected = &all[..k.min(all.len())];
        prop_assert_eq!(&left.best(&whole, &[0, PROMPTS], &words, k)[..], expected);
        let cut: Vec<&Prompts> = FOLDERS.cut.iter().map(|(_, prompts)| prompts).collect();
        prop_assert_eq!(&left.best(&cut, &CUTS, &words, k)[..], expected);
    }
}
