//! What is fitted to a trained model on validation images: ranking, confidence, and what is familiar.

use std::sync::Arc;

use super::cases::{Trial, case, predict};
use super::{EvaluateOptions, Observe};
use crate::error::{Error, Result};
use crate::pocket::{Meaning, PocketPrompt, Split};
use crate::predictor::Predictor;
use crate::predictor::confidence::{Confidence, Judged};
use crate::predictor::familiarity::Familiarity;
use crate::predictor::ranking::{Evidence, Ranking};
use crate::reverse::Reverser;
use crate::text::SentenceEncoder;

/// Fits them on validation images, half with their prompt in the index and half without. The model is to be one of
/// [`Predictor::open_unfitted`].
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, [`Error::TooFewAnswers`] for too few images, else what the model
/// or the index reports.
pub fn fit_confidence(
    predictor: Predictor,
    sentences: &Arc<SentenceEncoder>,
    options: EvaluateOptions,
    observe: &mut Observe<'_>,
) -> Result<(Confidence, Familiarity)> {
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
    let predictions = predict(&predictor, &truths, observe)?;
    let embeddings: Vec<&[f32]> = predictions
        .iter()
        .map(|it| it.embedding.as_slice())
        .collect();
    let familiarity = Familiarity::fit(&embeddings)?;

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
        let answer = reverser.look_up(&truth.text, prediction, &reverse)?;
        let case = case(truth, prediction, answer, sentences)?;
        answers.extend(case.best_hit.map(|hit| (hit, case.reconstruction)));
    }
    let fitted_on = format!(
        "{} pocket validation images (seed {}), half of them with their prompt among the {} of the \
         index; right: the answer means the same in all {} attributes; {} ms to put a prompt together in",
        answers.len(),
        options.seed,
        options.prompts,
        Meaning::ATTRIBUTES.len(),
        options.reconstruct.as_millis()
    );
    Ok((Confidence::fit(ranking, &answers, fitted_on)?, familiarity))
}
