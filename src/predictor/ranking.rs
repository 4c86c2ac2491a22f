//! Ranking of candidates by all that a prediction says of them, fitted on validation images.

use serde::{Deserialize, Serialize};

use super::Prediction;
use super::choice::{self, Choice};
use crate::data::vocabulary::Vocabulary;

/// What a prediction says of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Cosine between the candidate's embedding and the predicted one; 0 where that is no source.
    pub vector: f32,
    /// The same for the adapted embedding, if the model has been adapted.
    pub kernel: Option<f32>,
    /// Logarithm of the likelihood of the candidate's embedding, by [`Residuals`](super::residuals::Residuals), if they
    /// have been fitted.
    pub likelihood: Option<f32>,
    /// Sum of the log-odds of the vocabulary's words that the candidate holds; 0 without a vocabulary.
    pub words: f32,
}

impl Evidence {
    /// The cosine that is shown: the adapted one, if there is one.
    pub fn cosine(&self) -> f32 {
        self.kernel.unwrap_or(self.vector)
    }
}

/// What each kind of evidence counts: the probability of a candidate is in proportion to the exponential of
/// the weighted sum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Weight of the cosine.
    pub vector: f64,
    /// Weight of the adapted cosine; `None` if the model had not been adapted when this was fitted.
    pub kernel: Option<f64>,
    /// Weight of the logarithm of the likelihood; `None` if there was none when this was fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<f64>,
    /// Weight of the words.
    pub words: f64,
}

impl Ranking {
    /// What stands in where nothing has been fitted: a cosine counts about what it does where it is all that is fitted,
    /// words nothing.
    pub(crate) const UNFITTED: Self = Self {
        vector: 40.0,
        kernel: None,
        likelihood: None,
        words: 0.0,
    };

    /// Fits it to candidates of images, each with the place of the true one; `None` without any.
    pub(crate) fn fit(lists: &[(Vec<Evidence>, usize)]) -> Option<Self> {
        let first = lists.first()?.0.first()?;
        let choices: Vec<Choice<4>> = lists
            .iter()
            .map(|(list, chosen)| {
                let numbers = |it: &Evidence| {
                    let optional = [it.kernel, it.likelihood].map(Option::unwrap_or_default);
                    [it.vector, optional[0], optional[1], it.words].map(f64::from)
                };
                (list.iter().map(numbers).collect(), *chosen)
            })
            .collect();
        let [vector, kernel, likelihood, words] = choice::fit(&choices);
        Some(Self {
            vector,
            kernel: first.kernel.map(|_| kernel),
            likelihood: first.likelihood.map(|_| likelihood),
            words,
        })
    }

    /// The probability of each candidate to be the true one, if one of them is.
    pub fn probabilities(&self, candidates: &[Evidence]) -> Vec<f64> {
        let worths: Vec<[f64; 1]> = candidates.iter().map(|it| [self.worth(it)]).collect();
        choice::probabilities(&worths, &[1.0])
    }

    /// What a candidate's embedding is worth, without its words: a logarithm of a likelihood, but for a constant.
    pub fn nearness(&self, evidence: &Evidence) -> f64 {
        let vector = f64::from(evidence.vector);
        match (evidence.kernel.map(f64::from), self.kernel) {
            (Some(kernel), Some(weight)) => {
                self.vector * vector + weight * kernel + self.likely(evidence)
            }
            // Adapted since: both cosines count alike, and what was learnt of the model's own residuals nothing.
            (Some(kernel), None) => {
                let weight = self
                    .likelihood
                    .map_or(self.vector, |_| Self::UNFITTED.vector);
                weight * (vector + kernel) / 2.0
            }
            (None, weight) => {
                (self.vector + weight.unwrap_or(0.0)) * vector + self.likely(evidence)
            }
        }
    }

    /// For prompts that may not be in the index: half of what a likelihood counts is a cosine's again.
    ///
    /// Among prompts one of which is the true one, the likelihood finds it. What comes nearest to a truth that may be
    /// any prompt has the largest cosine to the prediction, which is a mean of all that it may be.
    pub(crate) fn softened(&self) -> Self {
        let half = |weight: f64| weight / 2.0;
        match self.likelihood {
            Some(likelihood) => Self {
                vector: half(self.vector + Self::UNFITTED.vector),
                kernel: self.kernel.map(half),
                likelihood: Some(half(likelihood)),
                words: self.words,
            },
            None => *self,
        }
    }

    fn likely(&self, evidence: &Evidence) -> f64 {
        let likelihood = f64::from(evidence.likelihood.unwrap_or_default());
        self.likelihood.unwrap_or_default() * likelihood
    }

    /// Whether all weights are numbers.
    pub(super) fn is_sound(&self) -> bool {
        let optional = [self.kernel, self.likelihood].map(Option::unwrap_or_default);
        let weights = [self.vector, optional[0], optional[1], self.words];
        weights.into_iter().all(f64::is_finite)
    }

    fn worth(&self, evidence: &Evidence) -> f64 {
        self.nearness(evidence) + self.words * f64::from(evidence.words)
    }
}

/// How much likelier than not each word of the vocabulary is in the prompt.
#[derive(Debug)]
pub struct WordOdds<'a> {
    vocabulary: &'a Vocabulary,
    by_number: Vec<f32>,
}

/// Probabilities are taken to be at least this, and at most as far from 1.
const LEAST_PROBABILITY: f32 = 1e-4;

impl<'a> WordOdds<'a> {
    /// Those of a prediction with words of `vocabulary`.
    pub fn new(prediction: &Prediction, vocabulary: &'a Vocabulary) -> Self {
        let mut by_number = vec![0.0; vocabulary.len()];
        for (word, probability) in &prediction.words {
            let probability = probability.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
            for number in vocabulary.numbers(word) {
                by_number[number as usize] = (probability / (1.0 - probability)).ln();
            }
        }
        Self {
            vocabulary,
            by_number,
        }
    }

    /// The sum of the log-odds of a text's words, each counted once.
    pub fn of(&self, text: &str) -> f32 {
        let numbers = self.vocabulary.numbers(text).into_iter();
        numbers.map(|number| self.by_number[number as usize]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(vector: f32, kernel: Option<f32>, words: f32) -> Evidence {
        Evidence {
            vector,
            kernel,
            words,
            ..Evidence::default()
        }
    }

    #[test]
    fn what_tells_the_true_ones_counts() {
        // The cosine tells them, words do not.
        let list = |swap: bool, words: f32| {
            let mut list = vec![evidence(0.8, None, words), evidence(0.7, None, 0.0)];
            if swap {
                list.reverse();
            }
            (list, usize::from(swap))
        };
        let mut lists = vec![];
        for n in 0..100 {
            // A tenth is chosen against the cosine.
            let (options, chosen) = list(n % 2 == 0, if n % 4 < 2 { 1.0 } else { -1.0 });
            lists.push((options, if n % 10 == 9 { 1 - chosen } else { chosen }));
        }
        let ranking = Ranking::fit(&lists).unwrap();
        assert!(
            ranking.vector > 10.0 && ranking.words.abs() < 1.0,
            "{ranking:?}"
        );
        assert_eq!(ranking.kernel, None);
        let shares = ranking.probabilities(&list(false, 0.0).0);
        assert!((shares[0] - 0.9).abs() < 0.05, "{shares:?}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(Ranking::fit(&[]), None);
    }

    #[test]
    fn a_likelihood_counts_as_far_as_it_tells() {
        // The likelihood tells the true one, the adapted cosine says the opposite, the rest nothing.
        let lists: Vec<(Vec<Evidence>, usize)> = (0..100)
            .map(|n| {
                let option = |likelihood: f32| Evidence {
                    likelihood: Some(likelihood),
                    ..evidence(0.5, Some(-0.1 * likelihood), 0.0)
                };
                let chosen = usize::from(n % 2 == 0);
                let mut list = vec![option(-9.0), option(-9.0)];
                list[chosen] = option(-8.0);
                (list, if n % 10 == 9 { 1 - chosen } else { chosen })
            })
            .collect();
        let ranking = Ranking::fit(&lists).unwrap();
        let (likelihood, kernel) = (ranking.likelihood.unwrap(), ranking.kernel.unwrap());
        assert!(likelihood > 0.0 && likelihood > kernel.abs(), "{ranking:?}");
        let shares = ranking.probabilities(&lists[1].0);
        assert!((shares[0] - 0.9).abs() < 0.05, "{shares:?}");
        let unsound = Ranking {
            likelihood: Some(f64::NAN),
            ..ranking
        };
        assert!(ranking.is_sound() && !unsound.is_sound());
        let softened = ranking.softened();
        assert_eq!(softened.likelihood, Some(likelihood / 2.0));
        assert!((softened.vector - ranking.vector / 2.0 - 20.0).abs() < 1e-9);
        // Adapted since: what counts is both cosines.
        let since = Ranking {
            kernel: None,
            ..ranking
        };
        let near = |likelihood: f32| {
            let candidate = Evidence {
                likelihood: Some(likelihood),
                ..evidence(0.5, Some(0.7), 0.0)
            };
            since.nearness(&candidate)
        };
        assert_eq!(near(-1.0), near(-100.0));
        assert!((near(-1.0) - 40.0 * 0.6).abs() < 1e-5);
    }

    #[test]
    fn an_adapted_cosine_counts_though_it_came_later() {
        let ranking = Ranking {
            vector: 10.0,
            ..Ranking::UNFITTED
        };
        let both = [evidence(0.5, Some(0.9), 0.0), evidence(0.5, Some(0.1), 0.0)];
        assert!(ranking.probabilities(&both)[0] > 0.9);
        let fitted = Ranking {
            kernel: Some(10.0),
            ..ranking
        };
        // Without it, the other cosine stands in.
        let alone = [evidence(0.6, None, 0.0), evidence(0.5, None, 0.0)];
        let share = fitted.probabilities(&alone)[0];
        assert!(
            (share - 1.0 / (1.0 + (-2.0f64).exp())).abs() < 1e-5,
            "{share}"
        );
    }

    #[test]
    fn likely_words_speak_for_a_text() {
        let vocabulary = Vocabulary::of_prompts(&["red cat", "red house"], 10);
        let words = [("red", 0.9), ("cat", 0.5), ("house", 0.0)];
        let prediction = Prediction {
            words: words.map(|(word, p)| (word.to_owned(), p)).to_vec(),
            ..Prediction::default()
        };
        let odds = WordOdds::new(&prediction, &vocabulary);
        assert!((odds.of("a red, RED cat") - 9.0f32.ln()).abs() < 1e-4);
        assert!(odds.of("house") < -9.0 && odds.of("house").is_finite());
        assert_eq!(odds.of("nothing known"), 0.0);
    }
}
