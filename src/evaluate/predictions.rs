//! Figures of a model's predictions alone, without an index: what encoders are compared by.

use std::ops::ControlFlow;
use std::time::Instant;

use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use super::Observe;
use super::bounds::Bounds;
use super::figures::{self, WordsF1};
use super::meanings::Meanings;
use super::truth::{Truth, Truths};
use super::vectors::unit_sum;
use crate::checker::agreement::Agreement;
use crate::error::{Error, Result};
use crate::pocket::Meaning;
use crate::predictor::{Prediction, Predictor};
use crate::text::{SentenceEncoder, cosine, mean_cosine};

/// The figures of a model on test images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PredictionFigures {
    /// Test images.
    pub images: usize,
    /// Mean cosine between predicted and true embedding.
    pub mean_cosine: f64,
    /// The same after adaptation, if the model has been adapted.
    pub adapted_cosine: Option<f64>,
    /// Micro F1 of the words.
    pub words_f1: WordsF1,
    /// Share of images for which the meaning nearest to the predicted embedding agrees with the true one,
    /// by attribute; empty where no prompt has a meaning.
    pub attributes: Vec<(&'static str, f64)>,
    /// The same share for the true embedding: one wording does not tell all.
    pub attributes_of_truth: Vec<(&'static str, f64)>,
    /// Meanings that the nearest one was chosen from: those of the test images first, then of known ones.
    pub meanings: usize,
    /// Mean cosine of the mean embedding of the nearest known images, by predicted embedding, to the
    /// true one: the encoder's own neighbours.
    pub encoder_neighbours: f64,
    /// What to compare the cosines with.
    #[serde(flatten)]
    pub bounds: Bounds,
    /// Milliseconds of predicting one image alone, median.
    pub predict_ms: f64,
}

/// Neighbours that are averaged.
const NEIGHBOURS: usize = 10;

/// Images predicted at once, between two looks at `observe`.
const BATCH_IMAGES: usize = 128;

/// Images that the time of a prediction is measured on.
const TIMED_IMAGES: usize = 50;

/// Test images that any number of models are tried on.
pub struct Trial<'a> {
    truths: Truths<'a>,
    known: Truths<'a>,
    sentences: &'a SentenceEncoder,
    bounds: Bounds,
    meanings: Meanings,
    attributes_of_truth: Vec<(&'static str, f64)>,
}

impl<'a> Trial<'a> {
    /// Makes ready what all models are compared with; `known` are training images, and `seed` draws
    /// wordings.
    ///
    /// # Errors
    /// [`Error::Setting`] if there are no images on either side, [`Error::Cancelled`] if `observe` breaks,
    /// else if a tensor operation fails.
    pub fn new(
        truths: &'a [Truth],
        known: &'a [Truth],
        sentences: &'a SentenceEncoder,
        seed: u64,
        observe: &mut Observe<'_>,
    ) -> Result<Self> {
        for (name, side) in [("images", truths), ("training images", known)] {
            if side.is_empty() {
                return Err(Error::Setting {
                    name,
                    value: 0,
                    least: 1,
                });
            }
        }
        let mut embedding = |done, total| observe("embedding prompts", done, total);
        let (truths, known) = Truths::of_both(truths, known, sentences, &mut embedding)?;
        let bounds = Bounds::measure(&truths, &known, sentences, seed)?;
        let mut wording = |done, total| observe("embedding meanings", done, total);
        let meanings = Meanings::measure(truths.all, known.all, sentences, seed, &mut wording)?;
        let true_ones: Vec<&[f32]> = truths.embeddings.rows().collect();
        let attributes_of_truth = by_name(meanings.agreement(truths.all, &true_ones));
        Ok(Self {
            truths,
            known,
            sentences,
            bounds,
            meanings,
            attributes_of_truth,
        })
    }

    /// Predicts the images and compares; `observe` is told of images done, of how many.
    ///
    /// # Errors
    /// [`Error::OtherEncoder`] if the model predicts embeddings of another encoder, [`Error::Cancelled`] if
    /// `observe` breaks, else if a tensor operation fails.
    pub fn run(
        &self,
        predictor: &Predictor,
        observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<PredictionFigures> {
        self.sentences.check(predictor.sentence_encoder())?;
        let (truths, known) = (self.truths.all, self.known.all);
        let (tests, total) = (truths.len(), truths.len() + known.len());
        let found = predict(predictor, truths, &mut |done| observe(done, total))?;
        let remembered = predict(predictor, known, &mut |done| observe(tests + done, total))?;
        let neighbours: Vec<Vec<f32>> = found
            .par_iter()
            .map(|found| nearest(&found.embedding, &remembered))
            .map(|near| unit_sum(near.iter().map(|&at| self.known.embeddings.row(at))))
            .collect();
        let neighbours: Vec<&[f32]> = neighbours.iter().map(Vec::as_slice).collect();
        let predicted: Vec<&[f32]> = found.iter().map(|it| it.embedding.as_slice()).collect();
        let adapted: Option<Vec<&[f32]>> =
            found.iter().map(|found| found.adapted.as_deref()).collect();
        let pairs = truths.iter().zip(&found);
        let words = pairs.map(|(truth, found)| (truth.text.as_str(), found.words.as_slice()));
        Ok(PredictionFigures {
            images: tests,
            mean_cosine: self.cosine(&predicted),
            adapted_cosine: adapted.map(|adapted| self.cosine(&adapted)),
            words_f1: figures::words_f1(words, predictor.vocabulary()),
            attributes: by_name(self.meanings.agreement(truths, &predicted)),
            attributes_of_truth: self.attributes_of_truth.clone(),
            meanings: self.meanings.len(),
            encoder_neighbours: self.cosine(&neighbours),
            bounds: self.bounds,
            predict_ms: predict_ms(predictor, truths)?,
        })
    }

    /// The mean cosine of an answer for each image to its truth.
    fn cosine(&self, answers: &[&[f32]]) -> f64 {
        mean_cosine(answers.iter().copied().zip(self.truths.embeddings.rows()))
    }
}

fn by_name(agreement: Option<Agreement>) -> Vec<(&'static str, f64)> {
    let names = Meaning::ATTRIBUTES.into_iter();
    agreement.map_or_else(Vec::new, |it| names.zip(it.attributes).collect())
}

fn predict(
    predictor: &Predictor,
    truths: &[Truth],
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<Prediction>> {
    let mut predictions = Vec::with_capacity(truths.len());
    for batch in truths.chunks(BATCH_IMAGES) {
        if observe(predictions.len()).is_break() {
            return Err(Error::Cancelled);
        }
        let images: Vec<RgbImage> = batch.iter().map(|truth| truth.image.clone()).collect();
        predictions.extend(predictor.predict(&images)?);
    }
    Ok(predictions)
}

fn predict_ms(predictor: &Predictor, truths: &[Truth]) -> Result<f64> {
    let mut times = vec![];
    for truth in truths.iter().take(TIMED_IMAGES) {
        let start = Instant::now();
        predictor.predict(std::slice::from_ref(&truth.image))?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(figures::median(times.into_iter()))
}

/// The places of the known images whose predictions are nearest to `embedding`.
fn nearest(embedding: &[f32], known: &[Prediction]) -> Vec<usize> {
    let mut scored: Vec<(f32, usize)> = known
        .iter()
        .enumerate()
        .map(|(at, known)| (cosine(embedding, &known.embedding), at))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.truncate(NEIGHBOURS);
    scored.into_iter().map(|(_, at)| at).collect()
}
