//! What an embedding says: the meaning whose wordings it is nearest to.

use std::collections::HashSet;
use std::ops::ControlFlow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::truth::Truth;
use super::vectors::unit_sum;
use crate::checker::agreement::Agreement;
use crate::error::Result;
use crate::pocket::{Meaning, grammar};
use crate::text::{Embeddings, SentenceEncoder, cosine};

/// Meanings, each with the mean embedding of some of its wordings: a single prompt says little of its
/// meaning, since its modifiers and the choice among synonyms move its embedding, too.
#[derive(Debug)]
pub(super) struct Meanings {
    all: Vec<Meaning>,
    embeddings: Vec<Vec<f32>>,
}

/// The most meanings that are told from each other.
const MEANINGS: usize = 2500;

/// Wordings of each.
const WORDINGS: usize = 6;

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
        let texts = wordings(&all, WORDINGS, seed);
        let rows = sentences.embed_with(&texts, |done| observe(done, texts.len()))?;
        let mean = |first: usize| mean(&rows, first * WORDINGS..(first + 1) * WORDINGS);
        Ok(Self {
            embeddings: (0..all.len()).map(mean).collect(),
            all,
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How far the meanings nearest to the answers agree with those of `truths`; `None` if no truth has
    /// a meaning.
    pub(super) fn agreement(&self, truths: &[Truth], answers: &[&[f32]]) -> Option<Agreement> {
        let pairs = truths
            .par_iter()
            .zip(answers)
            .filter_map(|(truth, answer)| {
                let said = grammar::read(&truth.text)?;
                Some((self.nearest(answer)?, said))
            });
        let (read_off, said): (Vec<Meaning>, Vec<Meaning>) = pairs.unzip();
        (!said.is_empty()).then(|| Agreement::of(&read_off, &said))
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

/// So many wordings of each meaning, one meaning after the other, drawn by `seed`.
pub(super) fn wordings(meanings: &[Meaning], count: usize, seed: u64) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let repeated = meanings
        .iter()
        .flat_map(|&meaning| std::iter::repeat_n(meaning, count));
    repeated
        .map(|meaning| grammar::word(meaning, &mut rng))
        .collect()
}

/// The mean of some rows, a unit vector.
pub(super) fn mean(rows: &Embeddings, places: impl Iterator<Item = usize>) -> Vec<f32> {
    unit_sum(places.map(|place| rows.row(place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pocket::{Prompts, Split};

    #[test]
    fn what_is_nearest_is_read_off_and_prompts_without_meaning_do_not_count() {
        let prompts: Vec<_> = Prompts::new(5, Split::Test).take(2).collect();
        let [one, other] = [prompts[0].meaning, prompts[1].meaning];
        assert_ne!(one, other);
        let meanings = Meanings {
            all: vec![one, other],
            embeddings: vec![vec![1.0, 0.0], vec![0.0, 1.0]],
        };
        let mut truths: Vec<Truth> = prompts.into_iter().map(Truth::from).collect();
        truths.push(Truth {
            text: "trending".into(),
            ..truths[0].clone()
        });
        let all = |answers: &[&[f32]]| meanings.agreement(&truths, answers).unwrap().all;
        assert_eq!(all(&[&[0.8, 0.6], &[0.0, 1.0], &[1.0, 0.0]]), 1.0);
        assert_eq!(all(&[&[0.8, 0.6], &[0.8, 0.6], &[1.0, 0.0]]), 0.5);
        assert_eq!(meanings.agreement(&truths[2..], &[&[1.0, 0.0]]), None);
    }
}
