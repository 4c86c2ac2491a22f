//! What words are worth: an estimate of a text's nearness to the target without embedding it.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// The penalty of the regression, in words.
const PENALTY: f64 = 1.0;

/// A nearness that is the sum of a number a word, by ridge regression on texts of which it is known.
#[derive(Debug)]
pub(super) struct Estimate {
    by_word: Vec<f64>,
}

impl Estimate {
    /// Of texts, each as its distinct words and its nearness; `words` are numbered from 0. `None` if the
    /// regression has no solution.
    pub(super) fn fit(texts: &[(&[u32], f64)], words: usize) -> Option<Self> {
        let mean =
            texts.iter().map(|(_, nearness)| nearness).sum::<f64>() / texts.len().max(1) as f64;
        let mut features = Mat::<f64>::zeros(texts.len(), words);
        for (row, (numbers, _)) in texts.iter().enumerate() {
            for &number in *numbers {
                features[(row, number as usize)] = 1.0;
            }
        }
        let mut gram = &features * features.transpose();
        for place in 0..texts.len() {
            gram[(place, place)] += PENALTY;
        }
        let labels = Mat::from_fn(texts.len(), 1, |row, _| texts[row].1 - mean);
        let dual = gram.llt(Side::Lower).ok()?.solve(&labels);
        let by_word = features.transpose() * dual;
        Some(Self {
            by_word: (0..words).map(|word| by_word[(word, 0)]).collect(),
        })
    }

    /// What the words add to a nearness, but for a constant.
    pub(super) fn of(&self, numbers: &[u32]) -> f64 {
        let worth = |&number: &u32| self.by_word[number as usize];
        numbers.iter().map(worth).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_near_texts_are_worth_more() {
        let texts: [(&[u32], f64); 4] = [
            (&[0, 1], 0.9),
            (&[0, 2], 0.7),
            (&[3, 1], 0.6),
            (&[3, 2], 0.4),
        ];
        let estimate = Estimate::fit(&texts, 5).unwrap();
        let worth: Vec<f64> = (0..5).map(|word| estimate.of(&[word])).collect();
        assert!(
            worth[0] > worth[3] + 0.1 && worth[1] > worth[2] + 0.05,
            "{worth:?}"
        );
        // What no text holds is worth nothing.
        assert_eq!(worth[4], 0.0);
        assert!((estimate.of(&[0, 1]) - worth[0] - worth[1]).abs() < 1e-12);
    }
}
