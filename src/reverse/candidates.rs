//! The prompts that an image may have, ranked by all that its prediction says of them.

use unprompt_index::{Hit, Index};

use super::target::Target;
use crate::error::Result;
use crate::predictor::ranking::{Evidence, Ranking};

/// Prompts that were found, and what speaks for each.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// What was found, best first.
    pub hits: Vec<Hit>,
    /// One for each.
    pub evidence: Vec<Evidence>,
}

impl Candidates {
    /// Of hits of `index`, in the order of a fusion without weights.
    ///
    /// # Errors
    /// If the index fails.
    pub(super) fn new(hits: Vec<Hit>, target: &Target<'_>, index: &Index) -> Result<Self> {
        let evidence = hits.iter().map(|hit| target.of_hit(hit, index));
        Ok(Self {
            evidence: evidence.collect::<Result<_>>()?,
            hits,
        })
    }

    /// The same in the order of their probabilities, which become the hits' scores; ties by id.
    pub(crate) fn ranked(self, ranking: &Ranking) -> Self {
        let probabilities = ranking.probabilities(&self.evidence);
        let mut both: Vec<(Hit, Evidence)> = self.hits.into_iter().zip(self.evidence).collect();
        for ((hit, _), probability) in both.iter_mut().zip(probabilities) {
            hit.score = probability as f32;
        }
        both.sort_by(|(a, _), (b, _)| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        for ((hit, _), rank) in both.iter_mut().zip(1..) {
            hit.rank = rank;
        }
        let (hits, evidence) = both.into_iter().unzip();
        Self { hits, evidence }
    }
}
