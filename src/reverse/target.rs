//! What a prediction says of prompts, found or put together.

use super::pipeline::Sources;
use crate::predictor::ranking::{Evidence, Ranking, WordOdds};
use crate::predictor::residuals::Residuals;
use crate::predictor::{Prediction, Predictor};
use crate::text::cosine;

/// What prompts are judged by.
pub(super) struct Target<'a> {
    /// The predicted embedding, a unit vector, if it is a source.
    embedding: Option<&'a [f32]>,
    /// The same after domain adaptation, if it is a source.
    adapted: Option<&'a [f32]>,
    /// How the embeddings of true prompts differ from predicted ones, if that is known.
    residuals: Option<&'a Residuals>,
    odds: WordOdds<'a>,
    ranking: Ranking,
}

impl<'a> Target<'a> {
    /// Of a prediction of `predictor`, as far as `sources` go.
    pub(super) fn new(
        prediction: &'a Prediction,
        predictor: &'a Predictor,
        sources: Sources,
        ranking: Option<Ranking>,
    ) -> Self {
        let adapted = prediction.adapted.as_deref();
        Self {
            embedding: sources.vector.then_some(&prediction.embedding),
            adapted: adapted.filter(|_| sources.kernel),
            residuals: predictor.residuals(),
            odds: WordOdds::new(prediction, predictor.vocabulary()),
            ranking: ranking.unwrap_or(Ranking::UNFITTED),
        }
    }

    /// What counts how much.
    pub(super) fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// What words are worth.
    pub(super) fn odds(&self) -> &WordOdds<'a> {
        &self.odds
    }

    /// Whether it says anything of embeddings.
    pub(super) fn sees_embeddings(&self) -> bool {
        self.embedding.or(self.adapted).is_some()
    }

    /// What it says of an embedding, a unit vector; of words nothing.
    pub(super) fn of_embedding(&self, row: &[f32]) -> Evidence {
        let known = self.residuals.zip(self.embedding);
        Evidence {
            vector: self.embedding.map_or(0.0, |it| cosine(row, it)),
            kernel: self.adapted.map(|it| cosine(row, it)),
            likelihood: known.map(|(residuals, it)| residuals.log_likelihood(it, row)),
            words: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::vocabulary::Vocabulary;

    #[test]
    fn embeddings_are_judged_as_far_as_they_are_sources() {
        let vocabulary = Vocabulary::of_prompts(&["a red cat"], 10);
        let (embedding, adapted) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        // Truths are off in the second number alone.
        let truths: Vec<[f32; 3]> = (0..12).map(|n| [1.0, (n - 6) as f32, 0.0]).collect();
        let pairs: Vec<(&[f32], &[f32])> = truths
            .iter()
            .map(|truth| (embedding.as_slice(), truth.as_slice()))
            .collect();
        let residuals = Residuals::fit(&pairs).unwrap();
        let target = |embedding, adapted| Target {
            embedding,
            adapted,
            residuals: Some(&residuals),
            odds: WordOdds::new(&Prediction::default(), &vocabulary),
            ranking: Ranking::UNFITTED,
        };
        let rows = [[0.6, 0.8, 0.0], [0.6, 0.0, 0.8]];
        let own = target(Some(&embedding), None);
        let [often, seldom] = rows.map(|row| own.of_embedding(&row));
        assert_eq!((often.vector, seldom.vector), (0.6, 0.6));
        assert!(often.likelihood > seldom.likelihood);
        assert!(own.sees_embeddings() && often.kernel.is_none());

        let other = target(None, Some(&adapted));
        let seen = other.of_embedding(&rows[0]);
        assert_eq!(
            (seen.vector, seen.kernel, seen.likelihood),
            (0.0, Some(0.8), None)
        );
        assert!(other.sees_embeddings() && !target(None, None).sees_embeddings());
    }
}
