//! Ranking of candidates by all that a prediction says of them, fitted on validation images.

use serde::{Deserialize, Serialize};

use super::Prediction;
use super::choice::{self, Choice};
use crate::data::vocabulary::Vocabulary;

/// What a prediction says of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Cosine between the candidate's embedding and the predicted one.
    pub vector: f32,
    /// The same for the adapted embedding, if the model has been adapted.
    pub kernel: Option<f32>,
    /// Sum of the log-odds of the vocabulary's words that the candidate holds; 0 without a vocabulary.
    pub words: f32,
}

/// What each kind of evidence counts: the probability of a candidate is in proportion to the exponential of
/// the weighted sum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Weight of the cosine.
    pub vector: f64,
    /// Weight of the adapted cosine; `None` if the model had not been adapted when this was fitted.
    pub kernel: Option<f64>,
    /// Weight of the words.
    pub words: f64,
}

impl Ranking {
    /// Fits it to candidates of images, each with the place of the true one; `None` without any.
    pub(crate) fn fit(lists: &[(Vec<Evidence>, usize)]) -> Option<Self> {
        let adapted = lists.first()?.0.iter().any(|it| it.kernel.is_some());
        let choices: Vec<Choice<3>> = lists
            .iter()
            .map(|(list, chosen)| {
                let numbers =
                    |it: &Evidence| [it.vector, it.kernel.unwrap_or(0.0), it.words].map(f64::from);
                (list.iter().map(numbers).collect(), *chosen)
            })
            .collect();
        let [vector, kernel, words] = choice::fit(&choices);
        Some(Self {
            vector,
            kernel: adapted.then_some(kernel),
            words,
        })
    }

    /// The probability of each candidate to be the true one, if one of them is.
    pub fn probabilities(&self, candidates: &[Evidence]) -> Vec<f64> {
        let worths: Vec<[f64; 1]> = candidates.iter().map(|it| [self.worth(it)]).collect();
        choice::probabilities(&worths, &[1.0])
    }

    /// What a unit of the words' log-odds counts in units of a cosine; at least 0.
    pub fn words_in_cosines(&self) -> f64 {
        let cosines = self.vector + self.kernel.unwrap_or(0.0);
        if cosines > 0.0 {
            (self.words / cosines).max(0.0)
        } else {
            0.0
        }
    }

    /// Whether all weights are numbers.
    pub(super) fn is_sound(&self) -> bool {
        let weights = [self.vector, self.kernel.unwrap_or(0.0), self.words];
        weights.into_iter().all(f64::is_finite)
    }

    fn worth(&self, evidence: &Evidence) -> f64 {
        let Evidence {
            vector,
            kernel,
            words,
        } = *evidence;
        let (vector, words) = (f64::from(vector), f64::from(words));
        let cosines = match (kernel.map(f64::from), self.kernel) {
            (Some(kernel), Some(weight)) => self.vector * vector + weight * kernel,
            // Adapted since: both cosines count alike.
            (Some(kernel), None) => self.vector * (vector + kernel) / 2.0,
            (None, weight) => (self.vector + weight.unwrap_or(0.0)) * vector,
        };
        cosines + self.words * words
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
    fn an_adapted_cosine_counts_though_it_came_later() {
        let ranking = Ranking {
            vector: 10.0,
            kernel: None,
            words: 0.0,
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
