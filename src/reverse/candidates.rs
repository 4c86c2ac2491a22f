//! The prompts that an image may have, ranked by all that its prediction says of them.

use unprompt_index::Hit;

use super::target::Target;
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
    /// Of hits with their vectors, which they lose here, in the order of a fusion without weights. A hit without one
    /// cannot be judged, and is left out.
    pub(super) fn new(hits: Vec<Hit>, target: &Target<'_>) -> Self {
        let judged = hits.into_iter().filter_map(|mut hit| {
            let vector = hit.vector.take()?;
            let evidence = Evidence {
                words: target.odds().of(&hit.prompt),
                ..target.of_embedding(&vector)
            };
            Some((hit, evidence))
        });
        let (hits, evidence) = judged.unzip();
        Self { hits, evidence }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reverse::fixture::hit;

    #[test]
    fn ranking_keeps_what_speaks_for_a_hit_beside_it() {
        let cosines = [0.1, 0.9, 0.5, 0.9];
        let evidence = |vector| Evidence {
            vector,
            ..Evidence::default()
        };
        let found = Candidates {
            hits: (0..4).map(|number| hit(&number.to_string())).collect(),
            evidence: cosines.map(evidence).to_vec(),
        };
        let ranked = found.ranked(&Ranking::UNFITTED);
        for (place, (hit, evidence)) in ranked.hits.iter().zip(&ranked.evidence).enumerate() {
            let number: usize = hit.prompt.parse().unwrap();
            assert_eq!((hit.rank, evidence.vector), (place + 1, cosines[number]));
        }
        let [first, second, third, last] = [0, 1, 2, 3].map(|place| &ranked.hits[place]);
        assert!(first.score == second.score && first.id < second.id);
        assert!(second.score > third.score && third.score > last.score);
        let sum: f32 = ranked.hits.iter().map(|hit| hit.score).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
