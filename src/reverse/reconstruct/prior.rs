//! What a text is worth before it is embedded: its length, and its words.

use super::lexicon::{BREAK, Lexicon};
use crate::predictor::ranking::WordOdds;

/// Logarithm of the number of words of a prompt: mean and standard deviation over DiffusionDB.
const LENGTH: (f64, f64) = (2.81, 0.84);

/// What the logarithm of the likelihood of a length counts: little beside what an image tells.
const LENGTH_WEIGHT: f64 = 0.08;

/// What texts of a lexicon are worth, as logarithms of likelihoods.
#[derive(Debug)]
pub(super) struct Prior {
    by_word: Vec<f64>,
}

impl Prior {
    /// With the log-odds of words, each worth `weight`.
    pub(super) fn new(lexicon: &Lexicon, odds: &WordOdds<'_>, weight: f64) -> Self {
        let numbers = 0..lexicon.len() as u32;
        let worth = |number| weight * f64::from(odds.of(&lexicon.write(&[number])));
        Self {
            by_word: numbers.map(worth).collect(),
        }
    }

    /// What a text is worth, given its distinct numbers as well.
    pub(super) fn of(&self, numbers: &[u32], words: &[u32]) -> f64 {
        let words = words.iter().map(|&number| self.by_word[number as usize]);
        words.sum::<f64>() + length_worth(numbers)
    }
}

fn length_worth(numbers: &[u32]) -> f64 {
    let words = numbers.iter().filter(|number| **number != BREAK).count();
    let (mean, deviation) = LENGTH;
    let log = (words.max(1) as f64).ln();
    // The density of a log-normal length, but for a constant.
    LENGTH_WEIGHT * (-((log - mean) / deviation).powi(2) / 2.0 - log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::vocabulary::Vocabulary;
    use crate::predictor::Prediction;

    #[test]
    fn a_length_is_worth_most_where_prompts_have_it() {
        let worth = |words: u32| length_worth(&(1..=words).collect::<Vec<_>>());
        assert!(worth(8) > worth(1) && worth(8) > worth(100));
        assert_eq!(length_worth(&[1, BREAK, 2]), worth(2));
    }

    #[test]
    fn likely_words_are_worth_more() {
        let prompts = ["a red cat", "a blue cat"];
        let vocabulary = Vocabulary::of_prompts(&prompts, 10);
        let prediction = Prediction {
            words: vec![("red".into(), 0.9), ("blue".into(), 0.1)],
            ..Prediction::default()
        };
        let lexicon = Lexicon::of(prompts.into_iter());
        let odds = WordOdds::new(&prediction, &vocabulary);
        let prior = Prior::new(&lexicon, &odds, 0.5);
        let worth = |text: &str| {
            let numbers = lexicon.read(text);
            let mut words = numbers.clone();
            words.sort_unstable();
            prior.of(&numbers, &words)
        };
        let difference = worth(prompts[0]) - worth(prompts[1]);
        assert!((difference - 9.0f64.ln()).abs() < 1e-4, "{difference}");
    }
}
