//! How good it is: figures on pocket images that no training saw.
//!
//! Two settings are kept apart: images whose true prompt is in the index, and images whose
//! meaning is not. Every cosine stands between two others: what an answer that knows nothing
//! comes to, and the ceiling of one that knows all that an image tells.

mod ablation;
pub mod adherence;
mod bounds;
mod calibration;
mod cases;
pub mod elsewhere;
mod figures;
mod fit;
mod meanings;
pub mod predictions;
mod report;
mod truth;
mod vectors;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::pocket::{PocketPrompt, Prompts, Split};
use crate::predictor::Predictor;
use crate::reverse::{ReverseOptions, Reverser, Verdict};
use crate::text::SentenceEncoder;

pub use ablation::Ablation;
pub use bounds::Bounds;
pub use calibration::{Bin, Calibration};
use cases::Trial;
pub use cases::{Case, DEPTH, reverse_all};
pub use figures::{Figures, MedianMs, Recall, WordsF1};
pub use fit::{Fitted, fit_confidence};
pub use report::Row;
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
    /// Time to put a prompt together in, for each image.
    pub reconstruct: Duration,
    /// Whether to measure what each source of candidates is worth.
    pub ablation: bool,
}

impl EvaluateOptions {
    /// How an image is reversed.
    fn reverse(&self) -> ReverseOptions {
        ReverseOptions {
            k: DEPTH,
            reconstruct: self.reconstruct,
            always_reconstruct: true,
            ..ReverseOptions::default()
        }
    }
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
    /// How far the confidence can be trusted, over both settings: it was fitted on such a mixture, too.
    pub calibration: Calibration,
    /// What is answered to images of another world.
    pub elsewhere: Elsewhere,
    /// What each source of candidates is worth where the true prompt is in the index; empty if not asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ablation: Vec<Ablation>,
    /// What to compare the cosines with.
    pub bounds: Bounds,
}

/// What is answered to images of another world: those of [`elsewhere::images`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Elsewhere {
    /// Images.
    pub images: usize,
    /// Share of them that are answered with [`Verdict::Unsure`].
    pub unsure: f64,
}

/// Progress of an evaluation: what is done, how far, of how much.
pub type Observe<'a> = dyn FnMut(&'static str, usize, usize) -> ControlFlow<()> + 'a;

/// Training images that baselines know.
pub const KNOWN_IMAGES: usize = 5000;

/// Images of another world, at most.
const ELSEWHERE_IMAGES: usize = 200;

/// Evaluates a model.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, else what the model or the index reports.
pub fn evaluate(
    predictor: Predictor,
    sentences: &Arc<SentenceEncoder>,
    options: EvaluateOptions,
    observe: &mut Observe<'_>,
) -> Result<Evaluation> {
    let model = predictor.name().to_owned();
    let vocabulary = predictor.vocabulary().clone();
    let Trial {
        present,
        absent,
        index,
        folder: _folder,
    } = Trial::new(sentences, options, observe)?;
    let reverser = Reverser::new(index, predictor)?.with_sentences(sentences.clone())?;
    let reverse = options.reverse();
    let ablation = if options.ablation {
        let present: Vec<&PocketPrompt> = present.iter().collect();
        ablation::measure(&reverser, sentences, &present, &reverse, observe)?
    } else {
        vec![]
    };
    let present = reverse_all(&reverser, sentences, &present, &reverse, observe)?;
    let absent = reverse_all(&reverser, sentences, &absent, &reverse, observe)?;

    let strangers = elsewhere::images(options.images.min(ELSEWHERE_IMAGES), options.seed);
    let mut unsure = 0;
    for (done, image) in strangers.iter().enumerate() {
        if observe("reversing images of another world", done, strangers.len()).is_break() {
            return Err(Error::Cancelled);
        }
        let answer = reverser.reverse_pixels("", image, &reverse)?;
        unsure += usize::from(answer.verdict == Verdict::Unsure);
    }

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
    Ok(Evaluation {
        model,
        seed: options.seed,
        prompts: options.prompts,
        in_index: Figures::of(&present, &vocabulary),
        held_out: Figures::of(&absent, &vocabulary),
        calibration: Calibration::of(present.iter().chain(&absent)),
        elsewhere: Elsewhere {
            images: strangers.len(),
            unsure: f64::from(unsure as u32) / strangers.len().max(1) as f64,
        },
        ablation,
        bounds: Bounds::measure(&truths, &known, sentences, options.seed)?,
    })
}
