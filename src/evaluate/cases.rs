//! Reversed images with what is true of them.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use image::RgbImage;
use tempfile::TempDir;
use unprompt_index::Index;

use super::{EvaluateOptions, Observe};
use crate::error::{Error, Result};
use crate::indexing::{self, IndexingEvent};
use crate::pocket::{Meaning, PocketPrompt, Prompts, grammar};
use crate::predictor::confidence::{JudgedHit, JudgedMade, Signs};
use crate::predictor::{Prediction, Predictor};
use crate::reverse::{ReverseAnswer, ReverseOptions, Reverser};
use crate::text::{SentenceEncoder, cosine};

/// One reversed image.
#[derive(Clone, Debug)]
pub struct Case {
    /// The true prompt.
    pub truth: PocketPrompt,
    /// What was answered; its hits go down to rank [`DEPTH`].
    pub answer: ReverseAnswer,
    /// Cosine between the predicted embedding and the true prompt's.
    pub predicted_cosine: f32,
    /// Cosine between the answer's embedding and the true prompt's.
    pub answer_cosine: f32,
    /// The best hit, if there is one.
    pub best_hit: Option<JudgedHit>,
    /// What was put together from the hits, if anything was.
    pub reconstruction: Option<JudgedMade>,
}

/// Hits that are looked at for recall.
pub const DEPTH: usize = 100;

impl Case {
    /// Whether the answer means exactly the same as the true prompt.
    pub fn says_the_same(&self) -> bool {
        grammar::read(&self.answer.prompt) == Some(self.truth.meaning)
    }

    /// Whether the answer was put together, claimed or not.
    pub fn was_put_together(&self) -> bool {
        let made = self.answer.reconstruction.as_ref();
        made.is_some_and(|made| made.prompt == self.answer.prompt)
    }

    /// Whether one of the first `k` hits means exactly the same as the true prompt.
    pub fn meaning_is_among(&self, k: usize) -> bool {
        let mut hits = self.answer.hits.iter().take(k);
        hits.any(|hit| grammar::read(&hit.prompt) == Some(self.truth.meaning))
    }

    /// The place of the true prompt among the hits, from 0.
    pub fn place(&self) -> Option<usize> {
        let mut hits = self.answer.hits.iter();
        hits.position(|hit| hit.prompt == self.truth.text)
    }
}

/// Pocket prompts of both settings, and an index of the first.
pub(super) struct Trial {
    /// Distinct prompts that are in the index, as many as images are wanted.
    pub(super) present: Vec<PocketPrompt>,
    /// Prompts whose meanings are not.
    pub(super) absent: Vec<PocketPrompt>,
    pub(super) index: Index,
    /// Where the index is, for as long as it is needed.
    pub(super) folder: TempDir,
}

impl Trial {
    /// Draws the prompts and builds the index.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks, else if the index cannot be written.
    pub(super) fn new(
        sentences: &SentenceEncoder,
        options: EvaluateOptions,
        observe: &mut Observe<'_>,
    ) -> Result<Self> {
        let (mut indexed, absent) = draw(options)?;
        let folder = tempfile::tempdir().map_err(Error::io("create", &std::env::temp_dir()))?;
        let index = build(&indexed, &folder.path().join("index"), sentences, observe)?;
        indexed.truncate(options.images);
        Ok(Self {
            present: indexed,
            absent,
            index,
            folder,
        })
    }
}

/// Prompts that are drawn in search of a meaning that is held out, for each that is wanted.
pub(super) const DRAWS_PER_IMAGE: usize = 100;

/// Distinct prompts for the index, then prompts of meanings that are not among them.
fn draw(options: EvaluateOptions) -> Result<(Vec<PocketPrompt>, Vec<PocketPrompt>)> {
    for (name, value, least) in [
        ("images", options.images, 1),
        ("prompts in the index", options.prompts, options.images),
    ] {
        if value < least {
            return Err(Error::Setting { name, value, least });
        }
    }
    let mut stream = Prompts::new(options.seed, options.split);
    let mut texts = HashSet::new();
    let mut indexed = Vec::with_capacity(options.prompts);
    while indexed.len() < options.prompts {
        if let Some(prompt) = stream
            .next()
            .filter(|prompt| texts.insert(prompt.text.clone()))
        {
            indexed.push(prompt);
        }
    }
    let meanings: HashSet<Meaning> = indexed.iter().map(|prompt| prompt.meaning).collect();
    let images = options.images;
    // A large index leaves few meanings, or none, to find.
    let drawn = stream.take(images.saturating_mul(DRAWS_PER_IMAGE));
    let absent = drawn.filter(|prompt| !meanings.contains(&prompt.meaning));
    let held_out: Vec<PocketPrompt> = absent.take(images).collect();
    if held_out.len() < images {
        return Err(Error::TooFewMeanings {
            prompts: options.prompts,
            images,
        });
    }
    Ok((indexed, held_out))
}

fn build(
    prompts: &[PocketPrompt],
    dir: &Path,
    sentences: &SentenceEncoder,
    observe: &mut Observe<'_>,
) -> Result<Index> {
    let texts = prompts.iter().map(|prompt| prompt.text.clone());
    indexing::build(texts, dir, sentences, &mut |event| match event {
        IndexingEvent::Embedding(done, total) => observe("embedding prompts", done, total),
        IndexingEvent::Writing(_) => observe("writing the index", 0, 1),
    })?;
    Ok(Index::open(dir)?)
}

/// Images predicted at once, between two looks at `observe`.
const BATCH_IMAGES: usize = 128;

/// What the model predicts for the image of each prompt.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, else what the model reports.
pub(super) fn predict(
    predictor: &Predictor,
    truths: &[&PocketPrompt],
    observe: &mut Observe<'_>,
) -> Result<Vec<Prediction>> {
    let mut predictions = Vec::with_capacity(truths.len());
    for batch in truths.chunks(BATCH_IMAGES) {
        if observe("predicting", predictions.len(), truths.len()).is_break() {
            return Err(Error::Cancelled);
        }
        let images: Vec<RgbImage> = batch.iter().map(|truth| truth.render()).collect();
        predictions.extend(predictor.predict(&images)?);
    }
    Ok(predictions)
}

/// Reverses the images of `prompts`.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, else what the model or the index reports.
pub fn reverse_all(
    reverser: &Reverser,
    sentences: &SentenceEncoder,
    prompts: &[PocketPrompt],
    options: &ReverseOptions,
    observe: &mut Observe<'_>,
) -> Result<Vec<Case>> {
    let mut cases = Vec::with_capacity(prompts.len());
    for (done, truth) in prompts.iter().enumerate() {
        if observe("reversing images", done, prompts.len()).is_break() {
            return Err(Error::Cancelled);
        }
        let pixels = truth.render();
        let start = Instant::now();
        let predictions = reverser.predictor().predict(&[pixels])?;
        let prediction = predictions.into_iter().next().unwrap_or_default();
        let encode = start.elapsed().as_secs_f64() * 1e3;
        let (mut answer, signs) = reverser.judged(&truth.text, &prediction, options)?;
        answer.took_ms.encode = encode;
        cases.push(case(truth, &prediction, (answer, signs), sentences)?);
    }
    Ok(cases)
}

pub(super) fn case(
    truth: &PocketPrompt,
    prediction: &Prediction,
    (answer, signs): (ReverseAnswer, Option<Signs>),
    sentences: &SentenceEncoder,
) -> Result<Case> {
    let hit = answer.hits.first().map(|hit| hit.prompt.as_str());
    let made = answer.reconstruction.as_ref().map(|it| it.prompt.as_str());
    let texts = [
        truth.text.as_str(),
        &answer.prompt,
        hit.unwrap_or(""),
        made.unwrap_or(""),
    ];
    let rows = sentences.embed(&texts)?;
    let says_the_same = |text: &str| grammar::read(text) == Some(truth.meaning);
    let best_hit = signs.zip(hit).map(|(signs, _)| JudgedHit {
        signs,
        says_the_same: says_the_same(texts[2]),
        is_exact: texts[2] == truth.text,
        cosine: cosine(rows.row(0), rows.row(2)),
    });
    let made = answer.reconstruction.as_ref();
    let reconstruction = signs.zip(made).map(|(signs, made)| JudgedMade {
        signs: signs.of_made(made.cosine),
        says_the_same: says_the_same(texts[3]),
        cosine: cosine(rows.row(0), rows.row(3)),
    });
    Ok(Case {
        truth: truth.clone(),
        predicted_cosine: cosine(&prediction.embedding, rows.row(0)),
        answer_cosine: cosine(rows.row(0), rows.row(1)),
        best_hit,
        reconstruction,
        answer,
    })
}
