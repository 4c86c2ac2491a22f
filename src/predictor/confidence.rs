//! Confidence: the share of validation answers with like signs that were right, and which of two answers to
//! give.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::choice::{self, Choice};
use super::isotonic::{Isotonic, MIN_ANSWERS};
use super::ranking::Ranking;
use crate::error::{Error, Result};

/// What was fitted to validation answers: `confidence.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// On what it was fitted, in words.
    pub fitted_on: String,
    /// How candidates are ranked.
    pub ranking: Ranking,
    /// How likely the best one says the same as the true prompt.
    pub same: Calibrator,
    /// How likely the best one is the true prompt.
    pub exact: Calibrator,
    /// When a reconstruction is the better answer; `None` if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconstruction: Option<ReconstructionFit>,
}

/// What a best hit is judged by, or what is put together from it and others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signs {
    /// Cosine between the hit's embedding and the predicted one, adapted if the model is.
    pub cosine: f32,
    /// The hit's probability among the candidates, by [`Ranking`]; in [0, 1].
    pub share: f32,
    /// Logarithm of the likelihood of the hit's embedding.
    pub likelihood: f32,
    /// Sum of the log-odds of the hit's words.
    pub words: f32,
    /// The cosine of what is put together, if that is what is judged.
    pub made: Option<f32>,
}

/// A probability by signs: of their weighted sum, isotonic regression makes a share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibrator {
    /// Weight of the cosine, adapted if the model is.
    pub cosine: f64,
    /// Weight of the logarithm of the share.
    pub share: f64,
    /// Weight of the logarithm of the likelihood.
    pub likelihood: f64,
    /// Weight of the words.
    pub words: f64,
    /// Weight of the cosine of what is put together; 0 where hits are judged.
    pub made: f64,
    /// Shares by the weighted sum.
    pub steps: Isotonic,
}

/// When a reconstruction is the better answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReconstructionFit {
    /// A best hit that less likely says the same gives way to the reconstruction; above 0.
    pub below: f32,
    /// How likely a reconstruction says the same, of those that are given.
    pub same: Calibrator,
}

/// The best hit of a validation image whose true prompt is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedHit {
    /// What it is judged by.
    pub signs: Signs,
    /// Whether it says the same as the true prompt.
    pub says_the_same: bool,
    /// Whether it is the true prompt.
    pub is_exact: bool,
    /// Cosine to the true prompt's embedding.
    pub cosine: f32,
}

/// What was put together for a validation image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedMade {
    /// What it is judged by.
    pub signs: Signs,
    /// Whether it says the same as the true prompt.
    pub says_the_same: bool,
    /// Cosine to the true prompt's embedding.
    pub cosine: f32,
}

/// A best hit, and a reconstruction if there is one.
pub type Judged = (JudgedHit, Option<JudgedMade>);

impl Confidence {
    /// Fits it to validation images whose candidates were ranked by `ranking`.
    ///
    /// # Errors
    /// [`Error::TooFewAnswers`] below 50 of them.
    pub fn fit(ranking: Ranking, answers: &[Judged], fitted_on: String) -> Result<Self> {
        let fit = |is_right: fn(&JudgedHit) -> bool| {
            let hits = answers.iter().map(|(hit, _)| (hit.signs, is_right(hit)));
            Calibrator::fit(&hits.collect::<Vec<_>>()).ok_or(Error::TooFewAnswers {
                found: answers.len(),
                needed: MIN_ANSWERS,
            })
        };
        let same = fit(|hit| hit.says_the_same)?;
        let exact = fit(|hit| hit.is_exact)?;
        let says_the_same = |hit: &JudgedHit| likelihoods(&same, &exact, hit.signs)[0];
        Ok(Self {
            fitted_on,
            ranking,
            reconstruction: ReconstructionFit::fit(answers, says_the_same),
            same,
            exact,
        })
    }

    /// How likely the best hit says the same as the true prompt, and how likely it is the true prompt: not more.
    pub fn of(&self, signs: Signs) -> [f32; 2] {
        likelihoods(&self.same, &self.exact, signs)
    }

    /// Reads a file of [`Confidence::fit`]'s result.
    ///
    /// # Errors
    /// [`Error::Confidence`] if it is no such file, if its steps do not rise or leave [0, 1], or if a weight
    /// is no number.
    pub fn from_json(json: &str, path: &Path) -> Result<Self> {
        let refused = |why: String| Error::Confidence {
            path: path.to_owned(),
            why,
        };
        let confidence: Self = serde_json::from_str(json).map_err(|it| refused(it.to_string()))?;
        let reconstruction = confidence.reconstruction.as_ref();
        let sound = reconstruction.is_none_or(|it| it.below.is_finite() && it.same.is_sound())
            && confidence.ranking.is_sound()
            && confidence.same.is_sound()
            && confidence.exact.is_sound();
        if sound {
            Ok(confidence)
        } else {
            Err(refused("its steps must rise within [0, 1]".into()))
        }
    }
}

fn likelihoods(same: &Calibrator, exact: &Calibrator, signs: Signs) -> [f32; 2] {
    let same = same.probability(signs);
    // The two were fitted apart; what is the true prompt says the same.
    [same, exact.probability(signs).min(same)]
}

impl Calibrator {
    /// Fits it to signs and whether the answer was right; `None` for too few answers.
    fn fit(answers: &[(Signs, bool)]) -> Option<Self> {
        // A logistic regression is the choice between an answer and one without any signs.
        let choices: Vec<Choice<6>> = answers
            .iter()
            .map(|(signs, is_right)| {
                let [cosine, share, likelihood, words, made] = signs.numbers();
                let signs = [cosine, share, likelihood, words, made, 1.0];
                (vec![signs, [0.0; 6]], usize::from(!is_right))
            })
            .collect();
        let [cosine, share, likelihood, words, made, _] = choice::fit(&choices);
        let weights = [cosine, share, likelihood, words, made];
        let scores = answers.iter().map(|(signs, is_right)| {
            let score = choice::product(&signs.numbers(), &weights);
            (score as f32, *is_right)
        });
        Some(Self {
            cosine,
            share,
            likelihood,
            words,
            made,
            steps: Isotonic::fit(scores.collect())?,
        })
    }

    /// The probability, in [0, 1].
    pub fn probability(&self, signs: Signs) -> f32 {
        let score = choice::product(&signs.numbers(), &self.weights());
        self.steps.share(score as f32)
    }

    /// In the order of [`Signs::numbers`].
    fn weights(&self) -> [f64; 5] {
        [
            self.cosine,
            self.share,
            self.likelihood,
            self.words,
            self.made,
        ]
    }

    fn is_sound(&self) -> bool {
        self.weights().into_iter().all(f64::is_finite) && self.steps.is_sound()
    }
}

impl Signs {
    /// Those of what is put together with this cosine to the predicted embedding.
    pub fn of_made(self, cosine: f32) -> Self {
        Self {
            made: Some(cosine),
            ..self
        }
    }

    fn numbers(self) -> [f64; 5] {
        let share = f64::from(self.share.max(f32::MIN_POSITIVE));
        [
            self.cosine.into(),
            share.ln(),
            self.likelihood.into(),
            self.words.into(),
            self.made.unwrap_or_default().into(),
        ]
    }
}

impl ReconstructionFit {
    /// The bound at which the answers given come nearest to the true prompts; `None` if no hit had better
    /// give way.
    fn fit(answers: &[Judged], says_the_same: impl Fn(&JudgedHit) -> f32) -> Option<Self> {
        let mut pairs: Vec<(f32, JudgedHit, JudgedMade)> = answers
            .iter()
            .filter_map(|(hit, made)| Some((says_the_same(hit), *hit, (*made)?)))
            .collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut gain, mut best) = (0.0, None::<(f64, usize, f32)>);
        for (at, (share, hit, made)) in pairs.iter().enumerate() {
            gain += f64::from(made.cosine - hit.cosine);
            // Hits of the same share give way together.
            let next = pairs.get(at + 1).map_or(f32::INFINITY, |next| next.0);
            if next > *share && best.is_none_or(|(most, ..)| gain > most) && gain > 0.0 {
                best = Some((gain, at + 1, next));
            }
        }
        let (_, given, next) = best?;
        let reconstructions = pairs[..given]
            .iter()
            .map(|(.., made)| (made.signs, made.says_the_same));
        Some(Self {
            // Above every share where all had better give way.
            below: next.min(2.0),
            same: Calibrator::fit(&reconstructions.collect::<Vec<_>>())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANKING: Ranking = Ranking {
        vector: 50.0,
        kernel: Some(3.0),
        likelihood: Some(0.1),
        words: 0.5,
    };

    fn signs(cosine: f32, share: f32) -> Signs {
        Signs {
            cosine,
            share,
            likelihood: -60.0,
            words: -10.0,
            made: None,
        }
    }

    fn made(score: f32) -> Signs {
        Signs {
            made: Some(score),
            ..signs(0.5, 0.4)
        }
    }

    fn hit(cosine: f32, share: f32, says_the_same: bool, true_cosine: f32) -> JudgedHit {
        JudgedHit {
            signs: signs(cosine, share),
            says_the_same,
            is_exact: says_the_same && share > 0.5,
            cosine: true_cosine,
        }
    }

    /// Hits of a low cosine are wrong and worse than a reconstruction, of a high one right.
    fn answers(made_cosine: f32) -> Vec<Judged> {
        let low = (0..200).map(|i| (hit(0.5 + i as f32 * 1e-4, 0.4, false, 0.6), i % 10 == 0));
        let high = (0..200).map(|i| (hit(0.8 + i as f32 * 1e-4, 0.9, true, 1.0), true));
        let with = |(hit, says_the_same)| {
            let made = JudgedMade {
                signs: made(0.85),
                says_the_same,
                cosine: made_cosine,
            };
            (hit, Some(made))
        };
        low.chain(high).map(with).collect()
    }

    fn fit(answers: &[Judged]) -> Result<Confidence> {
        Confidence::fit(RANKING, answers, "test".into())
    }

    #[test]
    fn hits_that_are_likely_wrong_give_way_to_a_better_reconstruction() {
        let fitted = fit(&answers(0.7)).unwrap();
        let [low, high] = [signs(0.5, 0.4), signs(0.9, 0.9)];
        assert_eq!(fitted.same.probability(low), 0.0);
        assert_eq!(fitted.same.probability(high), 1.0);
        assert_eq!(fitted.exact.probability(high), 1.0);
        let reconstruction = fitted.reconstruction.clone().unwrap();
        assert!(reconstruction.below > 0.0 && reconstruction.below <= 1.0);
        assert!((reconstruction.same.probability(made(0.85)) - 0.1).abs() < 1e-3);
        let json = serde_json::to_string(&fitted).unwrap();
        let path = Path::new("confidence.json");
        assert_eq!(Confidence::from_json(&json, path).unwrap(), fitted);

        assert_eq!(fit(&answers(0.5)).unwrap().reconstruction, None);
        assert!(fit(&answers(0.7)[..10]).is_err());
    }

    #[test]
    fn each_sign_counts_as_far_as_it_tells() {
        let answers: Vec<(Signs, bool)> = (0..2000)
            .map(|i| {
                let (cosine, share) = ((i % 50) as f32 / 50.0, (1 + i % 7) as f32 / 10.0);
                let is_right = share > 0.35 + 0.1 * ((i * 7919) % 13) as f32 / 13.0;
                (signs(cosine, share), is_right)
            })
            .collect();
        let fitted = Calibrator::fit(&answers).unwrap();
        assert!(
            fitted.share > 5.0 && fitted.cosine.abs() < 1.0,
            "{fitted:?}"
        );
        let at = |share| fitted.probability(signs(0.5, share));
        assert!(at(0.2) < 0.1 && at(0.7) > 0.9 && at(0.0) == at(0.1));
        assert_eq!(fitted.made, 0.0);
    }

    #[test]
    fn likelihood_words_and_what_is_made_are_signs_too() {
        let seen = |likelihood: f32, words: f32, made: f32| Signs {
            likelihood,
            words,
            made: Some(made),
            ..signs(0.5, 0.5)
        };
        // Right where the three together are large.
        let answers: Vec<(Signs, bool)> = (0..4000)
            .map(|i| {
                let [likelihood, words, made] = [20, 13, 17].map(|count| (i % count) as f32);
                let is_right = likelihood + words + made > 18.0 + ((i * 7919) % 11) as f32;
                (seen(likelihood - 80.0, words - 20.0, 0.1 * made), is_right)
            })
            .collect();
        let fitted = Calibrator::fit(&answers).unwrap();
        assert!(
            fitted.likelihood > 0.3
                && (fitted.words / fitted.likelihood - 1.0).abs() < 0.2
                && (fitted.made / fitted.likelihood - 10.0).abs() < 2.0,
            "{fitted:?}"
        );
        assert!(fitted.probability(seen(-61.0, -8.0, 1.6)) > 0.9);
        assert!(fitted.probability(seen(-80.0, -20.0, 0.0)) < 0.1);
    }

    #[test]
    fn damaged_files_are_refused() {
        let path = Path::new("confidence.json");
        let sound = serde_json::to_value(fit(&answers(0.7)).unwrap()).unwrap();
        let read = |value: &serde_json::Value| Confidence::from_json(&value.to_string(), path);
        assert!(read(&sound).is_ok());
        for (at, steps) in [
            ("/same/steps", "[]"),
            (
                "/same/steps",
                r#"[{"score": 0.5, "share": 0.9}, {"score": 0.6, "share": 0.1}]"#,
            ),
            ("/exact/steps", r#"[{"score": 0.5, "share": 1.5}]"#),
            ("/reconstruction/same/steps", "[]"),
            ("/ranking", "{}"),
            // As it was before likelihood and words were signs.
            (
                "/same",
                r#"{"cosine": 1, "share": 1, "steps": [{"score": 0.5, "share": 0.1}]}"#,
            ),
        ] {
            let mut damaged = sound.clone();
            *damaged.pointer_mut(at).unwrap() = serde_json::from_str(steps).unwrap();
            assert!(read(&damaged).is_err(), "{at}");
        }
    }
}
