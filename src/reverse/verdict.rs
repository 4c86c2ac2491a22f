//! Which of what was found and put together is the answer, and how far it goes.

use unprompt_index::Hit;

use super::answer::{ReverseAnswer, Verdict, phrases};
use super::candidates::Candidates;
use super::reconstruct::Reconstruction;
use crate::predictor::confidence::{Confidence, ReconstructionFit, Signs};

/// What is at least as likely as this to be the true prompt is called exact.
const EXACT: f32 = 0.9;

/// What is at least as likely as this to say the same as the true prompt is called near.
const NEAR: f32 = 0.5;

/// What was put together is claimed where it is at least as likely as this to say the same as the true prompt.
const CLAIMED: f32 = 0.1;

/// A best hit as a confidence sees it.
#[derive(Clone, Copy)]
pub(super) struct Judgement<'a> {
    signs: Signs,
    /// How likely it says the same as the true prompt.
    same: f32,
    /// How likely it is the true prompt.
    exact: f32,
    /// What judges a reconstruction, if the hit had better give way to one.
    reconstruction: Option<&'a ReconstructionFit>,
}

impl<'a> Judgement<'a> {
    /// By signs of the hit.
    pub(super) fn new(signs: Signs, confidence: &'a Confidence) -> Self {
        let [same, exact] = confidence.of(signs);
        let fit = confidence.reconstruction.as_ref();
        Self {
            signs,
            same,
            exact,
            reconstruction: fit.filter(|it| same < it.below),
        }
    }

    /// Whether the hit had better give way to what is put together from all.
    pub(super) fn gives_way(&self) -> bool {
        self.reconstruction.is_some()
    }

    fn verdict(&self) -> Verdict {
        match (self.exact, self.same) {
            (EXACT.., _) => Verdict::Exact,
            (_, NEAR..) => Verdict::Near,
            _ => Verdict::Unsure,
        }
    }

    /// How likely `made`, to which the hit gives way, says the same as the true prompt; `None` if it does not.
    fn of_made(&self, made: &Reconstruction) -> Option<f32> {
        let signs = self.signs.of_made(made.cosine);
        Some(self.reconstruction?.same.probability(signs))
    }
}

/// What the best of ranked candidates is judged by; `None` without any, or without a predicted embedding or residuals to
/// tell their likelihood by.
pub(super) fn signs(ranked: &Candidates) -> Option<Signs> {
    let (best, evidence) = ranked.hits.first().zip(ranked.evidence.first())?;
    Some(Signs {
        cosine: evidence.cosine(),
        likelihood: evidence.likelihood?,
        words: evidence.words,
        share: best.score,
        made: None,
    })
}

/// The best of `hits`, which were ranked, or what was put together where the hit had better give way to it.
///
/// Without a judgement nothing is known, and nothing is claimed: `None` also stands for an image that is
/// unlike all that the model has learnt from.
pub(super) fn answer(
    image: &str,
    hits: &[Hit],
    reconstruction: Option<Reconstruction>,
    judgement: Option<Judgement<'_>>,
) -> ReverseAnswer {
    let better = judgement
        .zip(reconstruction.as_ref())
        .and_then(|(judgement, made)| Some((made, judgement.of_made(made)?)));
    let answer = match better {
        Some((made, confidence)) => ReverseAnswer {
            verdict: of_made(confidence),
            prompt: made.prompt.clone(),
            confidence,
            phrases: made.phrases.clone(),
            ..ReverseAnswer::nothing(image)
        },
        None => {
            let best = hits.first().map(|hit| hit.prompt.clone());
            let prompt = best.unwrap_or_default();
            ReverseAnswer {
                verdict: judgement.map_or(Verdict::Unsure, |it| it.verdict()),
                phrases: phrases(&prompt, hits),
                prompt,
                confidence: judgement.map_or(0.0, |it| it.same),
                ..ReverseAnswer::nothing(image)
            }
        }
    };
    ReverseAnswer {
        reconstruction,
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
    use crate::predictor::confidence::Calibrator;
    use crate::predictor::isotonic::{Isotonic, Step};
    use crate::predictor::ranking::{Evidence, Ranking};
    use crate::reverse::fixture::hit;

    /// Shares from 0 to 1 as the cosine of a hit, or of what is put together, goes from .5 to 1.
    fn calibrator(cosine: f64, made: f64) -> Calibrator {
        let step = |(score, share)| Step { score, share };
        Calibrator {
            cosine,
            share: 0.0,
            likelihood: 0.0,
            words: 0.0,
            made,
            steps: Isotonic {
                steps: [(0.5, 0.0), (1.0, 1.0)].map(step).to_vec(),
            },
        }
    }

    fn confidence() -> Confidence {
        Confidence {
            fitted_on: "test".into(),
            ranking: Ranking::UNFITTED,
            same: calibrator(1.0, 0.0),
            exact: calibrator(1.0, 0.0),
            reconstruction: Some(ReconstructionFit {
                below: 0.4,
                same: calibrator(0.0, 1.0),
            }),
        }
    }

    fn found(likelihood: Option<f32>, cosine: f32) -> Candidates {
        let evidence = Evidence {
            vector: cosine,
            likelihood,
            ..Evidence::default()
        };
        Candidates {
            hits: vec![hit("found")],
            evidence: vec![evidence],
        }
    }

    /// What is answered where a prompt with a cosine of .8 could be put together.
    fn answered(found: &Candidates) -> (Verdict, String, f32) {
        let confidence = confidence();
        let judgement = signs(found).map(|signs| Judgement::new(signs, &confidence));
        let made = Reconstruction {
            prompt: "made".into(),
            cosine: 0.8,
            phrases: vec![],
        };
        let answer = answer("", &found.hits, Some(made), judgement);
        (answer.verdict, answer.prompt, answer.confidence)
    }

    #[test]
    fn a_hit_that_is_unlikely_gives_way() {
        for (cosine, verdict, prompt, confidence) in [
            (0.6, Verdict::Reconstructed, "made", 0.6),
            (0.72, Verdict::Unsure, "found", 0.44),
            (0.8, Verdict::Near, "found", 0.6),
            (0.96, Verdict::Exact, "found", 0.92),
        ] {
            let answer = answered(&found(Some(-60.0), cosine));
            assert_eq!((answer.0, answer.1.as_str()), (verdict, prompt));
            assert!((answer.2 - confidence).abs() < 1e-5, "{}", answer.2);
        }
    }

    #[test]
    fn where_nothing_is_known_nothing_is_claimed() {
        let answer = answered(&found(None, 0.96));
        assert_eq!(answer, (Verdict::Unsure, "found".into(), 0.0));
        assert_eq!(signs(&Candidates::default()), None);
    }

    #[test]
    fn what_is_hardly_ever_right_is_not_claimed() {
        assert_eq!(of_made(0.1), Verdict::Reconstructed);
        assert_eq!(of_made(1.0), Verdict::Reconstructed);
        for little in [0.0, 0.0999, f32::NAN] {
            assert_eq!(of_made(little), Verdict::Unsure);
        }
    }
}
