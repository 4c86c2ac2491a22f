//! Which of what was found and put together is the answer, and how far it goes.

use unprompt_index::Hit;

use super::answer::{ReverseAnswer, Verdict, phrases};
use super::candidates::Candidates;
use super::reconstruct::Reconstruction;
use crate::predictor::confidence::{Confidence, Signs};

/// What is at least as likely as this to be the true prompt is called exact.
const EXACT: f32 = 0.9;

/// What is at least as likely as this to say the same as the true prompt is called near.
const NEAR: f32 = 0.5;

/// What was put together is claimed where it is at least as likely as this to say the same as the true prompt.
const CLAIMED: f32 = 0.1;

/// What the best of candidates that were ranked is judged by; `None` where nothing was found by embeddings.
pub(super) fn signs(found: &Candidates) -> Option<Signs> {
    let (best, evidence) = found.hits.first().zip(found.evidence.first())?;
    best.scores.kernel.or(best.scores.vector)?;
    Some(Signs {
        evidence: *evidence,
        share: best.score,
        made: None,
    })
}

/// Whether a best hit of these signs had better give way to what is put together from all.
pub(super) fn gives_way(signs: Option<Signs>, confidence: &Confidence) -> bool {
    let fit = confidence.reconstruction.as_ref();
    let known = fit.zip(signs);
    known.is_some_and(|(fit, signs)| confidence.of(signs)[0] < fit.below)
}

/// The best of `hits`, which were ranked, or what was put together where the hit had better give way to it.
///
/// Without a confidence nothing is known, and nothing is claimed: `None` also stands for an image that is
/// unlike all that the model has learnt from.
pub(super) fn answer(
    image: &str,
    (hits, signs): (&[Hit], Option<Signs>),
    reconstruction: Option<Reconstruction>,
    confidence: Option<&Confidence>,
) -> ReverseAnswer {
    let prompt = hits
        .first()
        .map(|hit| hit.prompt.clone())
        .unwrap_or_default();
    let known = signs.zip(confidence);
    let [same, exact] = known.map_or([0.0; 2], |(signs, confidence)| confidence.of(signs));
    let better = confidence.filter(|it| gives_way(signs, it));
    let better = better.and_then(|it| it.reconstruction.as_ref());
    let answer = match (better, &reconstruction) {
        (Some(fit), Some(made)) => {
            let signs = signs.map(|it| it.of_made(made.cosine));
            let confidence = signs.map_or(0.0, |it| fit.same.probability(it));
            ReverseAnswer {
                verdict: of_made(confidence),
                prompt: made.prompt.clone(),
                confidence,
                phrases: made.phrases.clone(),
                ..ReverseAnswer::nothing(image)
            }
        }
        _ => ReverseAnswer {
            verdict: match (exact, same) {
                (EXACT.., _) => Verdict::Exact,
                (_, NEAR..) => Verdict::Near,
                _ => Verdict::Unsure,
            },
            phrases: phrases(&prompt, hits),
            prompt,
            confidence: same,
            ..ReverseAnswer::nothing(image)
        },
    };
    ReverseAnswer {
        reconstruction,
        signs,
        ..answer
    }
}

/// What to call an answer that was put together.
fn of_made(confidence: f32) -> Verdict {
    match confidence {
        CLAIMED.. => Verdict::Reconstructed,
        _ => Verdict::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hardly_ever_right_is_not_claimed() {
        assert_eq!(of_made(0.1), Verdict::Reconstructed);
        assert_eq!(of_made(1.0), Verdict::Reconstructed);
        for little in [0.0, 0.0999, f32::NAN] {
            assert_eq!(of_made(little), Verdict::Unsure);
        }
    }
}
