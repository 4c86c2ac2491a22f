//! Several models as one: the weighted mean of their unit embeddings, made a unit vector again.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Prediction;
use crate::text;

/// `ensemble.json`: the models, each in a folder beside it, and their weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnsembleConfig {
    /// The models; their weights sum to 1.
    pub members: Vec<Member>,
}

/// One model of an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its folder, below that of the ensemble.
    pub folder: String,
    /// Its weight, at least 0.
    pub weight: f64,
}

/// The prediction that weighted predictions of one image come to. Words are those of the first model that
/// has a vocabulary; their probabilities are weighted means over all that have one, and a word that such a
/// model does not know has none there.
pub fn combine(predictions: &[(f64, &Prediction)]) -> Prediction {
    let Some((_, first)) = predictions.first() else {
        return Prediction::default();
    };
    let mut embedding = vec![0f32; first.embedding.len()];
    for (weight, prediction) in predictions {
        for (sum, value) in embedding.iter_mut().zip(&prediction.embedding) {
            *sum += *weight as f32 * value;
        }
    }
    let norm = text::cosine(&embedding, &embedding).sqrt().max(1e-12);
    embedding.iter_mut().for_each(|value| *value /= norm);
    Prediction {
        embedding,
        adapted: None,
        words: combine_words(predictions),
    }
}

fn combine_words(predictions: &[(f64, &Prediction)]) -> Vec<(String, f32)> {
    let with_words = predictions.iter().filter(|(_, it)| !it.words.is_empty());
    let with_words: Vec<_> = with_words.collect();
    let Some((_, first)) = with_words.first() else {
        return vec![];
    };
    let total: f64 = with_words.iter().map(|(weight, _)| weight).sum();
    if total == 0.0 {
        return vec![];
    }
    let mut probabilities: HashMap<&str, f32> = HashMap::new();
    for (weight, prediction) in &with_words {
        for (word, probability) in &prediction.words {
            *probabilities.entry(word).or_default() += (weight / total) as f32 * probability;
        }
    }
    let mut words: Vec<(String, f32)> = first
        .words
        .iter()
        .map(|(word, _)| (word.clone(), probabilities[word.as_str()]))
        .collect();
    words.sort_by(|a, b| b.1.total_cmp(&a.1));
    words
}

/// So many parts the weight is dealt out in.
const PARTS: usize = 100;

/// The weights of models, by their predictions (a row of images each) for which the mean cosine to
/// `truths` is highest: greedy selection with replacement (Caruana et al., 2004, s. 2.2).
///
/// # Panics
/// If a row has fewer images than `truths`.
pub fn fit_weights(rows: &[Vec<Prediction>], truths: &[&[f32]]) -> Vec<f64> {
    let dim = truths.first().map_or(0, |truth| truth.len());
    let mut sums = vec![vec![0f32; dim]; truths.len()];
    let mut counts = vec![0usize; rows.len()];
    for _ in 0..PARTS {
        let score = |row: &[Prediction]| -> f64 {
            let images = sums.iter().zip(row).zip(truths);
            images
                .map(|((sum, prediction), truth)| {
                    let mixed: Vec<f32> = sum
                        .iter()
                        .zip(&prediction.embedding)
                        .map(|(sum, value)| sum + value)
                        .collect();
                    let norm = text::cosine(&mixed, &mixed).sqrt().max(1e-12);
                    f64::from(text::cosine(&mixed, truth) / norm)
                })
                .sum()
        };
        let scores: Vec<f64> = rows.iter().map(|row| score(row)).collect();
        let best = (0..rows.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        let Some(best) = best else {
            return vec![];
        };
        counts[best] += 1;
        for (sum, prediction) in sums.iter_mut().zip(&rows[best]) {
            for (sum, value) in sum.iter_mut().zip(&prediction.embedding) {
                *sum += value;
            }
        }
    }
    counts
        .iter()
        .map(|&count| count as f64 / PARTS as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(embedding: [f32; 2], words: &[(&str, f32)]) -> Prediction {
        Prediction {
            embedding: embedding.to_vec(),
            adapted: None,
            words: words.iter().map(|&(word, p)| (word.into(), p)).collect(),
        }
    }

    #[test]
    fn combined_embeddings_are_unit_and_words_are_weighted() {
        let a = prediction([1.0, 0.0], &[("cat", 0.9), ("dog", 0.2)]);
        let b = prediction([0.0, 1.0], &[("dog", 1.0), ("cat", 0.1)]);
        let both = combine(&[(0.5, &a), (0.5, &b)]);
        assert!((both.embedding[0] - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(both.words[0].0, "dog");
        assert!((both.words[0].1 - 0.6).abs() < 1e-6);
        assert_eq!(combine(&[(1.0, &a)]), a);
    }

    #[test]
    fn a_model_without_words_says_nothing_of_words() {
        let silent = prediction([1.0, 0.0], &[]);
        let a = prediction([0.0, 1.0], &[("cat", 0.75)]);
        let b = prediction([0.0, 1.0], &[("cat", 0.25)]);
        let all = combine(&[(0.6, &silent), (0.1, &a), (0.3, &b)]);
        assert_eq!(all.words, [("cat".to_owned(), 0.375)]);
        assert!(combine(&[(1.0, &silent)]).words.is_empty());
    }

    #[test]
    fn weights_go_to_models_that_err_differently_and_none_to_a_useless_one() {
        let truth = [0.8f32, 0.6];
        let rows = vec![
            vec![prediction([1.0, 0.0], &[])],
            vec![prediction([0.0, 1.0], &[])],
            // At right angles to the truth.
            vec![prediction([0.6, -0.8], &[])],
        ];
        let weights = fit_weights(&rows, &[&truth]);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        // 0.8 : 0.6
        assert!((weights[0] - 0.57).abs() < 0.02, "{weights:?}");
        assert_eq!(weights[2], 0.0);
    }
}
