//! Reversed images with what is true of them.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use unprompt_index::Index;

use super::{EvaluateOptions, Observe};
use crate::error::{Error, Result};
use crate::indexing::{self, IndexingEvent};
use crate::pocket::{Meaning, PocketPrompt, Prompts, grammar};
use crate::predictor::Predictor;
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
}

/// Hits that are looked at for recall.
pub const DEPTH: usize = 100;

impl Case {
    /// Whether the answer means exactly the same as the true prompt.
    pub fn says_the_same(&self) -> bool {
        grammar::read(&self.answer.prompt) == Some(self.truth.meaning)
    }

    /// The rank of the true prompt among the hits, from 1.
    pub fn rank(&self) -> Option<usize> {
        let place = self
            .answer
            .hits
            .iter()
            .position(|hit| hit.prompt == self.truth.text);
        place.map(|place| place + 1)
    }
}

/// The cases of both settings: true prompt in the index, and meaning held out of it.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, else what the model or the index reports.
pub fn cases(
    predictor: Predictor,
    sentences: &SentenceEncoder,
    options: EvaluateOptions,
    observe: &mut Observe<'_>,
) -> Result<(Vec<Case>, Vec<Case>)> {
    let (indexed, held_out) = draw(options)?;
    let folder = tempfile::tempdir().map_err(Error::io("create", &std::env::temp_dir()))?;
    let index = build(&indexed, &folder.path().join("index"), sentences, observe)?;
    let reverser = Reverser::new(index, predictor)?;
    let present = &indexed[..options.images.min(indexed.len())];
    let present = reverse_all(&reverser, sentences, present, observe)?;
    let absent = reverse_all(&reverser, sentences, &held_out, observe)?;
    Ok((present, absent))
}

/// Prompts that are drawn in search of a meaning that is held out, for each that is wanted.
const DRAWS_PER_IMAGE: usize = 100;

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

/// Reverses the images of `prompts`.
///
/// # Errors
/// As for [`cases`].
pub fn reverse_all(
    reverser: &Reverser,
    sentences: &SentenceEncoder,
    prompts: &[PocketPrompt],
    observe: &mut Observe<'_>,
) -> Result<Vec<Case>> {
    let options = ReverseOptions {
        k: DEPTH,
        ..ReverseOptions::default()
    };
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
        let mut answer = reverser.look_up(&truth.text, &prediction, &options)?;
        answer.took_ms.encode = encode;
        let both = sentences.embed(&[truth.text.as_str(), answer.prompt.as_str()])?;
        let predicted_cosine = cosine(&prediction.embedding, both.row(0));
        let answer_cosine = cosine(both.row(0), both.row(1));
        cases.push(Case {
            truth: truth.clone(),
            answer,
            predicted_cosine,
            answer_cosine,
        });
    }
    Ok(cases)
}
