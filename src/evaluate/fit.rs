//! What is fitted to a trained model on validation images: ranking, confidence, residuals, and what is familiar.

use std::collections::HashSet;
use std::sync::Arc;

use super::cases::{DRAWS_PER_IMAGE, Trial, case, predict};
use super::{EvaluateOptions, Observe};
use crate::error::{Error, Result};
use crate::pocket::{Meaning, PocketPrompt, Prompts, Split};
use crate::predictor::confidence::{Confidence, Judged};
use crate::predictor::familiarity::Familiarity;
use crate::predictor::ranking::{Evidence, Ranking};
use crate::predictor::residuals::Residuals;
use crate::predictor::{Prediction, Predictor};
use crate::reverse::Reverser;
use crate::text::SentenceEncoder;

/// What has been fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// `confidence.json`.
    pub confidence: Confidence,
    /// `residuals.safetensors`.
    pub residuals: Residuals,
    /// `familiarity.safetensors`.
    pub familiarity: Familiarity,
}

/// Fits it on validation images, half with their prompt in the index and half without; residuals to as many others, so
/// that ranking and confidence are fitted to images that the residuals have not seen. The model is to be one of
/// [`Predictor::open_unfitted`].
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, [`Error::TooFewAnswers`] for too few images,
/// [`Error::TooFewMeanings`] for too many, else what the model
/// or the index reports.
pub fn fit_confidence(
    predictor: Predictor,
    sentences: &Arc<SentenceEncoder>,
    options: EvaluateOptions,
    observe: &mut Observe<'_>,
) -> Result<Fitted> {
    let options = EvaluateOptions {
        split: Split::Validation,
        ..options
    };
    let needed = Familiarity::needed(sentences.dim());
    if 2 * options.images < needed {
        return Err(Error::TooFewAnswers {
            found: 2 * options.images,
            needed,
        });
    }
    let trial = Trial::new(sentences, options, observe)?;
    let truths: Vec<&PocketPrompt> = trial.present.iter().chain(&trial.absent).collect();
    let others = others(&truths, options)?;
    let residuals = residuals(&predictor, &others, sentences, observe)?;
    let predictor = predictor.with_residuals(residuals.clone());
    let predictions = predict(&predictor, &truths, observe)?;
    let familiarity = Familiarity::fit(&embeddings(&predictions))?;

    let reverser = Reverser::new(trial.index, predictor)?.with_sentences(sentences.clone())?;
    let reverse = options.reverse();
    let mut lists: Vec<(Vec<Evidence>, usize)> = vec![];
    for (truth, prediction) in truths.iter().zip(&predictions) {
        let found = reverser.candidates(prediction, &reverse)?;
        let place = found.hits.iter().position(|hit| hit.prompt == truth.text);
        lists.extend(place.map(|place| (found.evidence, place)));
    }
    let ranking = Ranking::fit(&lists).ok_or(Error::NoCandidates)?;
    let reverser = reverser.with_ranking(ranking);
    let mut answers: Vec<Judged> = vec![];
    for (done, (truth, prediction)) in truths.iter().zip(&predictions).enumerate() {
        if observe("reversing images", done, truths.len()).is_break() {
            return Err(Error::Cancelled);
        }
        let answer = reverser.judged(&truth.text, prediction, &reverse)?;
        let case = case(truth, prediction, answer, sentences)?;
        answers.extend(case.best_hit.map(|hit| (hit, case.reconstruction)));
    }
    let fitted_on = format!(
        "{} pocket validation images (seed {}), half of them with their prompt among the {} of the \
         index, residuals on {} others; right: the answer means the same in all {} attributes; {} ms to put a prompt \
         together in",
        answers.len(),
        options.seed,
        options.prompts,
        others.len(),
        Meaning::ATTRIBUTES.len(),
        options.reconstruct.as_millis()
    );
    Ok(Fitted {
        confidence: Confidence::fit(ranking, &answers, fitted_on)?,
        residuals,
        familiarity,
    })
}

/// What the seed of the other images differs by.
const OTHER_SEED: u64 = 0x5eed;

/// As many validation prompts of other meanings, distinct.
///
/// # Errors
/// [`Error::TooFewMeanings`] if there are not so many.
fn others(truths: &[&PocketPrompt], options: EvaluateOptions) -> Result<Vec<PocketPrompt>> {
    let meanings: HashSet<Meaning> = truths.iter().map(|it| it.meaning).collect();
    let mut texts = HashSet::new();
    let others: Vec<PocketPrompt> = Prompts::new(options.seed ^ OTHER_SEED, Split::Validation)
        .take(truths.len().saturating_mul(DRAWS_PER_IMAGE))
        .filter(|it| !meanings.contains(&it.meaning) && texts.insert(it.text.clone()))
        .take(truths.len())
        .collect();
    match others.len() == truths.len() {
        true => Ok(others),
        false => Err(Error::TooFewMeanings {
            prompts: options.prompts,
            images: options.images,
        }),
    }
}

fn residuals(
    predictor: &Predictor,
    prompts: &[PocketPrompt],
    sentences: &SentenceEncoder,
    observe: &mut Observe<'_>,
) -> Result<Residuals> {
    let predictions = predict(predictor, &prompts.iter().collect::<Vec<_>>(), observe)?;
    let texts: Vec<&str> = prompts.iter().map(|it| it.text.as_str()).collect();
    let truths = sentences.embed(&texts)?;
    let pairs: Vec<(&[f32], &[f32])> = embeddings(&predictions)
        .into_iter()
        .zip(truths.rows())
        .collect();
    Residuals::fit(&pairs)
}

fn embeddings(predictions: &[Prediction]) -> Vec<&[f32]> {
    let embeddings = predictions.iter().map(|it| it.embedding.as_slice());
    embeddings.collect()
}
