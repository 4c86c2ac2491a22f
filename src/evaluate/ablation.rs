//! What each source of candidates is worth: alone, with others, and ranked by all that is known.

use serde::Serialize;

use super::Observe;
use super::cases::predict;
use super::figures::Recall;
use crate::error::{Error, Result};
use crate::pocket::PocketPrompt;
use crate::reverse::{ReverseOptions, Reverser, Sources};
use crate::text::{SentenceEncoder, cosine};

/// What comes of some sources.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ablation {
    /// The sources, in words.
    pub sources: &'static str,
    /// Recall of the true prompt.
    pub recall: Recall,
    /// Mean cosine between the best hit's and the true embedding.
    pub hit_cosine: f64,
}

const VECTOR: Sources = Sources {
    kernel: false,
    words: false,
    ..Sources::ALL
};
const KERNEL: Sources = Sources {
    vector: false,
    words: false,
    ..Sources::ALL
};
const WORDS: Sources = Sources {
    vector: false,
    kernel: false,
    ..Sources::ALL
};
const VECTORS: Sources = Sources {
    words: false,
    ..Sources::ALL
};
const VECTOR_WORDS: Sources = Sources {
    kernel: false,
    ..Sources::ALL
};
const KERNEL_WORDS: Sources = Sources {
    vector: false,
    ..Sources::ALL
};

/// Every way to choose among the sources that a model has; whether what they bring is ranked, not fused.
fn ways(has_words: bool, is_adapted: bool, is_ranked: bool) -> Vec<(&'static str, Sources, bool)> {
    let mut ways = vec![("embedding", VECTOR, false)];
    if has_words {
        ways.push(("words", WORDS, false));
    }
    if is_adapted {
        ways.extend([
            ("adapted embedding", KERNEL, false),
            ("both embeddings, fused", VECTORS, false),
        ]);
    }
    if has_words && is_adapted {
        ways.extend([
            ("embedding and words, fused", VECTOR_WORDS, false),
            ("adapted embedding and words, fused", KERNEL_WORDS, false),
        ]);
    }
    if has_words {
        ways.push(("all, fused", Sources::ALL, false));
    }
    if is_ranked {
        ways.push(("all, ranked", Sources::ALL, true));
    }
    ways
}

/// Measures every way on images of `prompts`, which are in the index.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, else what the model or the index reports.
pub(super) fn measure(
    reverser: &Reverser,
    sentences: &SentenceEncoder,
    prompts: &[&PocketPrompt],
    options: &ReverseOptions,
    observe: &mut Observe<'_>,
) -> Result<Vec<Ablation>> {
    let predictions = predict(reverser.predictor(), prompts, observe)?;
    let truths: Vec<&str> = prompts.iter().map(|truth| truth.text.as_str()).collect();
    let truths = sentences.embed(&truths)?;
    let ranking = reverser.predictor().confidence().map(|it| it.ranking);
    let ways = ways(
        !reverser.predictor().vocabulary().is_empty(),
        reverser.predictor().adaptation().is_some(),
        ranking.is_some(),
    );
    let mut measured = vec![];
    for (done, (name, sources, is_ranked)) in ways.iter().enumerate() {
        if observe("trying sources", done, ways.len()).is_break() {
            return Err(Error::Cancelled);
        }
        let options = ReverseOptions {
            sources: *sources,
            ..options.clone()
        };
        let (mut ranks, mut best) = (vec![], vec![]);
        for (truth, prediction) in prompts.iter().zip(&predictions) {
            let candidates = reverser.candidates(prediction, &options)?;
            let hits = match ranking.as_ref().filter(|_| *is_ranked) {
                Some(ranking) => candidates.ranked(ranking).hits,
                None => candidates.hits,
            };
            ranks.push(hits.iter().position(|hit| hit.prompt == truth.text));
            best.push(
                hits.into_iter()
                    .next()
                    .map_or(String::new(), |hit| hit.prompt),
            );
        }
        let best = sentences.embed(&best)?;
        let cosines = best.rows().zip(truths.rows());
        let sum: f64 = cosines.map(|(a, b)| f64::from(cosine(a, b))).sum();
        measured.push(Ablation {
            sources: name,
            recall: Recall::of(&ranks),
            hit_cosine: sum / prompts.len().max(1) as f64,
        });
    }
    Ok(measured)
}
