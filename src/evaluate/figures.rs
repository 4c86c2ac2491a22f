//! Figures over many cases.

use serde::Serialize;

use super::cases::{Case, DEPTH};
use crate::data::vocabulary::Vocabulary;
use crate::pocket::{Meaning, grammar};

/// The figures of one setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Images.
    pub images: usize,
    /// Mean cosine between predicted and true embedding.
    pub mean_cosine: f64,
    /// Mean cosine between the answer's and the true embedding.
    pub answer_cosine: f64,
    /// The same of the best hit, and of what was put together from the hits (where nothing was, of the best hit
    /// again), whichever was answered; `None` where nothing was found.
    pub hit_cosine: Option<f64>,
    /// See `hit_cosine`.
    pub reconstruction_cosine: Option<f64>,
    /// Share of images whose answer was put together.
    pub reconstructed: f64,
    /// Share of images whose true prompt is the first hit, or among the first 10 or 100.
    pub recall: Recall,
    /// Share of images for which one of the first 10 hits means exactly the same as the true prompt.
    pub meaning_recall_at_10: f64,
    /// Share of answers that mean exactly the same as the true prompt.
    pub same_meaning: f64,
    /// Share of answers that agree with the true prompt, by attribute.
    pub attributes: Vec<(&'static str, f64)>,
    /// Micro F1 of the predicted words against the true prompt's, at probability 0.5.
    pub words_f1: f64,
    /// Median milliseconds of encoding an image, of searching and of putting the answer together.
    pub median_ms: MedianMs,
}

/// Recall of the true prompt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recall {
    /// At rank 1.
    pub at_1: f64,
    /// Down to rank 10.
    pub at_10: f64,
    /// Down to rank 100.
    pub at_100: f64,
}

/// Median times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MedianMs {
    /// The image encoder.
    pub encode: f64,
    /// Searching.
    pub search: f64,
    /// Putting the answer together.
    pub reconstruct: f64,
}

impl Recall {
    /// Of the place of each true prompt among the hits, from 0.
    pub(super) fn of(places: &[Option<usize>]) -> Self {
        let within = |k: usize| {
            let found = places
                .iter()
                .filter(|place| place.is_some_and(|place| place < k));
            found.count() as f64 / places.len().max(1) as f64
        };
        Self {
            at_1: within(1),
            at_10: within(10),
            at_100: within(DEPTH),
        }
    }
}

impl Figures {
    /// The figures of `cases`, whose words are counted in `vocabulary`.
    pub fn of(cases: &[Case], vocabulary: &Vocabulary) -> Self {
        let share = |test: &dyn Fn(&Case) -> bool| {
            cases.iter().filter(|case| test(case)).count() as f64 / cases.len().max(1) as f64
        };
        let mean = |value: &dyn Fn(&Case) -> f64| {
            cases.iter().map(value).sum::<f64>() / cases.len().max(1) as f64
        };
        let mean_of = |cosine: &dyn Fn(&Case) -> Option<f32>| {
            let cosines: Option<Vec<f64>> = cases
                .iter()
                .map(|case| Some(f64::from(cosine(case)?)))
                .collect();
            let cosines = cosines.filter(|cosines| !cosines.is_empty())?;
            Some(cosines.iter().sum::<f64>() / cosines.len() as f64)
        };
        let places: Vec<Option<usize>> = cases.iter().map(Case::place).collect();
        let agrees = |attribute: usize| {
            share(&|case| {
                grammar::read(&case.answer.prompt).is_some_and(|meaning| {
                    meaning.values()[attribute] == case.truth.meaning.values()[attribute]
                })
            })
        };
        let words: Vec<Vec<(String, f32)>> = cases
            .iter()
            .map(|case| {
                let words = case.answer.words.iter();
                words.map(|it| (it.word.clone(), it.probability)).collect()
            })
            .collect();
        let pairs = cases
            .iter()
            .zip(&words)
            .map(|(case, words)| (case.truth.text.as_str(), words.as_slice()));
        Self {
            images: cases.len(),
            mean_cosine: mean(&|case| f64::from(case.predicted_cosine)),
            answer_cosine: mean(&|case| f64::from(case.answer_cosine)),
            hit_cosine: mean_of(&|case| Some(case.best_hit?.cosine)),
            reconstruction_cosine: mean_of(&|case| {
                let made = case.reconstruction.map(|made| made.cosine);
                made.or(Some(case.best_hit?.cosine))
            }),
            reconstructed: share(&Case::was_put_together),
            recall: Recall::of(&places),
            meaning_recall_at_10: share(&|case| case.meaning_is_among(10)),
            same_meaning: share(&Case::says_the_same),
            attributes: Meaning::ATTRIBUTES
                .into_iter()
                .zip((0..).map(agrees))
                .collect(),
            words_f1: words_f1(pairs, vocabulary).all,
            median_ms: MedianMs {
                encode: median(cases.iter().map(|case| case.answer.took_ms.encode)),
                search: median(cases.iter().map(|case| case.answer.took_ms.search)),
                reconstruct: median(cases.iter().map(|case| case.answer.took_ms.reconstruct)),
            },
        }
    }
}

/// Micro F1 of predicted words, at probability 0.5.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WordsF1 {
    /// Of all words.
    pub all: f64,
    /// Of those that leave a trace in the image: words of an attribute.
    pub traced: f64,
    /// Of the others, which are label noise.
    pub untraced: f64,
}

/// The F1 of predicted words with their probabilities against those of the true prompts, counted in
/// `vocabulary`.
pub(super) fn words_f1<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a [(String, f32)])>,
    vocabulary: &Vocabulary,
) -> WordsF1 {
    let traced: Vec<bool> = vocabulary
        .words()
        .iter()
        .map(|word| grammar::leaves_trace(word))
        .collect();
    // Of words without a trace, then with one: right, predicted and true ones.
    let mut counts = [[0usize; 3]; 2];
    for (truth, words) in pairs {
        let truth = vocabulary.numbers(truth);
        for &number in &truth {
            counts[usize::from(traced[number as usize])][2] += 1;
        }
        let likely = words.iter().filter(|(_, probability)| *probability >= 0.5);
        for number in likely.flat_map(|(word, _)| vocabulary.numbers(word)) {
            let counts = &mut counts[usize::from(traced[number as usize])];
            counts[1] += 1;
            counts[0] += usize::from(truth.contains(&number));
        }
    }
    let f1 = |[right, predicted, true_ones]: [usize; 3]| {
        2.0 * right as f64 / ((predicted + true_ones) as f64).max(1.0)
    };
    let [untraced, traced] = counts;
    WordsF1 {
        all: f1([0, 1, 2].map(|at| untraced[at] + traced[at])),
        traced: f1(traced),
        untraced: f1(untraced),
    }
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
