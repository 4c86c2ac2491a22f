//! The prompts that an image may have, ranked by all that its prediction says of them.

use unprompt_index::Hit;

use crate::data::vocabulary::Vocabulary;
use crate::predictor::Prediction;
use crate::predictor::ranking::{Evidence, Ranking, WordOdds};

/// Prompts that were found, and what speaks for each.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// What was found, best first.
    pub hits: Vec<Hit>,
    /// One for each.
    pub evidence: Vec<Evidence>,
}

impl Candidates {
    /// Of hits in the order of a fusion without weights.
    pub(super) fn new(hits: Vec<Hit>, prediction: &Prediction, vocabulary: &Vocabulary) -> Self {
        let odds = WordOdds::new(prediction, vocabulary);
        let evidence = |hit: &Hit| Evidence {
            // Every hit of a search by a vector has its cosine.
            vector: hit.scores.vector.unwrap_or(0.0),
            kernel: hit.scores.kernel,
            words: odds.of(&hit.prompt),
        };
        Self {
            evidence: hits.iter().map(evidence).collect(),
            hits,
        }
    }

    /// The hits in the order of their probabilities, which become their scores; ties by id.
    pub(crate) fn ranked(self, ranking: &Ranking) -> Vec<Hit> {
        let probabilities = ranking.probabilities(&self.evidence);
        let mut hits = self.hits;
        for (hit, probability) in hits.iter_mut().zip(probabilities) {
            hit.score = probability as f32;
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        for (hit, rank) in hits.iter_mut().zip(1..) {
            hit.rank = rank;
        }
        hits
    }
}
