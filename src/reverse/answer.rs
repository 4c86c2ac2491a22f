//! The shape of an answer: the JSON of `reverse`.

use std::collections::HashSet;

use serde::Serialize;
use unprompt_index::{Hit, PromptId};

use super::reconstruct::Reconstruction;
use crate::metadata::Embedded;

/// What an image tells about its prompt, and the evidence.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReverseAnswer {
    /// The image's name, as it was given.
    pub image: String,
    /// What the file itself carries.
    pub embedded: Option<Embedded>,
    /// How far the answer goes.
    pub verdict: Verdict,
    /// The best answer, whatever the verdict; empty if the index is.
    pub prompt: String,
    /// Of the answers with confidence p, a share p says the same as the true prompt; in [0, 1].
    /// 1 for a prompt that the file carries.
    pub confidence: f32,
    /// Words that the prompt is predicted to hold, likeliest first.
    pub words: Vec<Word>,
    /// The pieces of `prompt`, and the hits they are from, which is none where the file carries the prompt.
    pub phrases: Vec<Phrase>,
    /// What was put together from the hits: where the best is likely enough nothing is, unless it was asked for.
    pub reconstruction: Option<Reconstruction>,
    /// The prompts found, best first.
    pub hits: Vec<Hit>,
    /// Where the time went.
    pub took_ms: TookMs,
}

impl ReverseAnswer {
    /// The answer of somebody who has not looked.
    pub(super) fn nothing(image: &str) -> Self {
        Self {
            image: image.to_owned(),
            embedded: None,
            verdict: Verdict::Unsure,
            prompt: String::new(),
            confidence: 0.0,
            words: vec![],
            phrases: vec![],
            reconstruction: None,
            hits: vec![],
            took_ms: TookMs::default(),
        }
    }
}

/// How far an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The file carries it.
    Embedded,
    /// Almost certainly the very prompt.
    Exact,
    /// More likely than not, it says the same as the true prompt.
    Near,
    /// Put together from hits, none of which was likely enough to say the same.
    Reconstructed,
    /// The best that was found or put together, more likely wrong than right, or for an image unlike all that the model
    /// has learnt from.
    Unsure,
}

/// A predicted word.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Word {
    /// The word.
    pub word: String,
    /// The probability that the prompt holds it.
    pub probability: f32,
}

/// A piece of the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Phrase {
    /// What stands between two commas of the answer; of one that was put together, the longest runs of words
    /// that some hit has.
    pub text: String,
    /// The prompts found that have it, best first, listed among the hits or not.
    pub from: Vec<PromptId>,
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TookMs {
    /// Reading what the file carries, and its pixels.
    pub decode: f64,
    /// The image encoder.
    pub encode: f64,
    /// Vector and keyword search, their fusion, and the ranking.
    pub search: f64,
    /// Putting the answer together.
    pub reconstruct: f64,
}

/// The comma pieces of `prompt`, each with the hits that have the same piece, in whatever case.
pub(super) fn phrases(prompt: &str, hits: &[Hit]) -> Vec<Phrase> {
    let hits: Vec<(PromptId, HashSet<String>)> = hits
        .iter()
        .map(|hit| (hit.id, pieces(&hit.prompt).map(str::to_lowercase).collect()))
        .collect();
    let phrase = |piece: &str| {
        let lower = piece.to_lowercase();
        let having = hits.iter().filter(|(_, pieces)| pieces.contains(&lower));
        Phrase {
            text: piece.to_owned(),
            from: having.map(|(id, _)| *id).collect(),
        }
    };
    pieces(prompt).map(phrase).collect()
}

fn pieces(prompt: &str) -> impl Iterator<Item = &str> {
    prompt
        .split(',')
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
}
