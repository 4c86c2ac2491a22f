//! How good it is: figures on pocket images that no training saw.
//!
//! Two settings are kept apart: images whose true prompt is in the index, and images whose
//! meaning is not. Every cosine stands between two others: what an answer that knows nothing
//! comes to, and the ceiling of one that knows all that an image tells.

pub mod adherence;
mod bounds;
mod cases;
mod figures;
mod meanings;
pub mod predictions;
mod truth;
mod vectors;

use std::ops::ControlFlow;

use serde::Serialize;

use crate::error::Result;
use crate::pocket::{Meaning, Prompts, Split};
use crate::predictor::Predictor;
use crate::predictor::confidence::Confidence;
use crate::text::SentenceEncoder;

pub use bounds::Bounds;
pub use cases::{Case, DEPTH, cases, reverse_all};
pub use figures::{Figures, MedianMs, Recall, WordsF1, calibration_error};
pub use truth::Truth;
use truth::Truths;

/// What to evaluate on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluateOptions {
    /// The side of the split that images and index are drawn from.
    pub split: Split,
    /// Prompts in the index.
    pub prompts: usize,
    /// Images of each setting.
    pub images: usize,
    /// Seed of the draw.
    pub seed: u64,
}

/// A whole evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The model.
    pub model: String,
    /// Seed of the draw.
    pub seed: u64,
    /// Prompts in the index.
    pub prompts: usize,
    /// The true prompt is in the index.
    pub in_index: Figures,
    /// No prompt of the same meaning is in the index.
    pub held_out: Figures,
    /// Mean difference between confidence and share of right answers, over both settings: the
    /// confidence was fitted on such a mixture, too.
    pub calibration_error: f64,
    /// What to compare the cosines with.
    pub bounds: Bounds,
}

/// Progress of an evaluation: what is done, how far, of how much.
pub type Observe<'a> = dyn FnMut(&'static str, usize, usize) -> ControlFlow<()> + 'a;

/// Fits a confidence on validation images, half with their prompt in the index and half without.
///
/// # Errors
/// As for [`cases`], and [`Error::TooFewAnswers`](crate::Error::TooFewAnswers).
pub fn fit_confidence(
    predictor: Predictor,
    sentences: &SentenceEncoder,
    options: EvaluateOptions,
    observe: &mut Observe<'_>,
) -> Result<Confidence> {
    let options = EvaluateOptions {
        split: Split::Validation,
        ..options
    };
    let (present, absent) = cases(predictor, sentences, options, observe)?;
    let answers: Vec<(f32, bool)> = present
        .iter()
        .chain(&absent)
        .filter_map(|case| {
            let score = case.answer.hits.first()?.scores.vector?;
            Some((score, case.says_the_same()))
        })
        .collect();
    let fitted_on = format!(
        "{} pocket validation images (seed {}), half of them with their prompt among the {} of the \
         index; right: the answer means the same in all {} attributes",
        answers.len(),
        options.seed,
        options.prompts,
        Meaning::ATTRIBUTES.len()
    );
    Confidence::fit(&answers, fitted_on)
}

/// Training images that baselines know.
pub const KNOWN_IMAGES: usize = 5000;

/// Evaluates a model.
///
/// # Errors
/// As for [`cases`].
pub fn evaluate(
    predictor: Predictor,
    sentences: &SentenceEncoder,
    options: EvaluateOptions,
    observe: &mut Observe<'_>,
) -> Result<Evaluation> {
    let model = predictor.name().to_owned();
    let vocabulary = predictor.vocabulary().clone();
    let (present, absent) = cases(predictor, sentences, options, observe)?;
    let figures = |cases: &[Case]| Figures::of(cases, &vocabulary);
    let truths: Vec<Truth> = absent
        .iter()
        .map(|case| case.truth.clone().into())
        .collect();
    let known: Vec<Truth> = Prompts::new(options.seed, Split::Train)
        .take(KNOWN_IMAGES)
        .map(Truth::from)
        .collect();
    let (truths, known) = Truths::of_both(&truths, &known, sentences, &mut |done, total| {
        observe("measuring bounds", done, total)
    })?;
    let bounds = Bounds::measure(&truths, &known, sentences, options.seed)?;
    Ok(Evaluation {
        model,
        seed: options.seed,
        prompts: options.prompts,
        in_index: figures(&present),
        held_out: figures(&absent),
        calibration_error: calibration_error(present.iter().chain(&absent)),
        bounds,
    })
}
