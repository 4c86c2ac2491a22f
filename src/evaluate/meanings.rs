//! What an embedding says: the meaning whose wordings it is nearest to.

use std::collections::HashSet;
use std::ops::ControlFlow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::truth::Truth;
use super::vectors::unit_sum;
use crate::error::Result;
use crate::pocket::{Meaning, grammar};
use crate::text::{SentenceEncoder, cosine};

/// Meanings, each with the mean embedding of some of its wordings.
///
/// A single prompt says little of its meaning: its modifiers and the choice among synonyms move its
/// embedding as far as another colour does. A mean over wordings leaves them out.
#[derive(Debug)]
pub(super) struct Meanings {
    all: Vec<Meaning>,
    embeddings: Vec<Vec<f32>>,
}

/// The most meanings that are told from each other.
const MEANINGS: usize = 2500;

/// Wordings of each.
const WORDINGS: usize = 6;

const ATTRIBUTES: usize = Meaning::ATTRIBUTES.len();

impl Meanings {
    /// The meanings of `truths`, then of `known` images, [`MEANINGS`] at most; `seed` draws wordings, and
    /// `observe` is told of those embedded, of how many. Prompts that the grammar does not read have none.
    ///
    /// # Errors
    /// As for [`SentenceEncoder::embed_with`].
    pub(super) fn measure(
        truths: &[Truth],
        known: &[Truth],
        sentences: &SentenceEncoder,
        seed: u64,
        observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self> {
        let mut distinct = HashSet::new();
        let all: Vec<Meaning> = truths
            .iter()
            .chain(known)
            .filter_map(|truth| grammar::read(&truth.text))
            .filter(|&meaning| distinct.insert(meaning))
            .take(MEANINGS)
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let texts: Vec<String> = all
            .iter()
            .flat_map(|&meaning| std::iter::repeat_n(meaning, WORDINGS))
            .map(|meaning| grammar::word(meaning, &mut rng))
            .collect();
        let wordings = sentences.embed_with(&texts, |done| observe(done, texts.len()))?;
        let mean = |first: usize| {
            let own = first * WORDINGS..(first + 1) * WORDINGS;
            unit_sum(own.map(|wording| wordings.row(wording)))
        };
        Ok(Self {
            embeddings: (0..all.len()).map(mean).collect(),
            all,
        })
    }

    /// Share of `truths` with a meaning for which the meaning nearest to the answer agrees, by attribute.
    pub(super) fn agreement(
        &self,
        truths: &[Truth],
        answers: &[&[f32]],
    ) -> Vec<(&'static str, f64)> {
        let pairs = truths.par_iter().zip(answers);
        let agreeing = pairs.filter_map(|(truth, answer)| {
            let said = grammar::read(&truth.text)?.values();
            let read_off = self.nearest(answer)?.values();
            Some(std::array::from_fn(|at| read_off[at] == said[at]))
        });
        let agreeing: Vec<[bool; ATTRIBUTES]> = agreeing.collect();
        let share = |attribute: usize| {
            let count = agreeing.iter().filter(|agree| agree[attribute]).count();
            count as f64 / agreeing.len().max(1) as f64
        };
        Meaning::ATTRIBUTES
            .into_iter()
            .zip((0..).map(share))
            .collect()
    }

    /// `None` if there are no meanings.
    fn nearest(&self, embedding: &[f32]) -> Option<Meaning> {
        let scored = self.embeddings.iter().zip(&self.all);
        scored
            .map(|(mean, meaning)| (cosine(mean, embedding), *meaning))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, meaning)| meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pocket::{Prompts, Split};

    #[test]
    fn what_is_nearest_is_read_off_and_prompts_without_meaning_do_not_count() {
        let prompts: Vec<_> = Prompts::new(5, Split::Test).take(2).collect();
        let [one, other] = [prompts[0].meaning, prompts[1].meaning];
        let meanings = Meanings {
            all: vec![one, other],
            embeddings: vec![vec![1.0, 0.0], vec![0.0, 1.0]],
        };
        let mut truths: Vec<Truth> = prompts.into_iter().map(Truth::from).collect();
        truths.push(Truth {
            text: "trending".into(),
            ..truths[0].clone()
        });
        let right: [&[f32]; 3] = [&[0.8, 0.6], &[0.0, 1.0], &[1.0, 0.0]];
        let shares = |answers: &[&[f32]]| meanings.agreement(&truths, answers);
        assert!(shares(&right).iter().all(|(_, share)| *share == 1.0));
        let half_right: [&[f32]; 3] = [&[0.8, 0.6], &[0.8, 0.6], &[1.0, 0.0]];
        for (at, (name, share)) in shares(&half_right).into_iter().enumerate() {
            let same = one.values()[at] == other.values()[at];
            assert_eq!(share, if same { 1.0 } else { 0.5 }, "{name}");
        }
        assert_ne!(one.values(), other.values());
    }
}
