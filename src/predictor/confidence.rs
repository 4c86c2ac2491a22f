//! Confidence: the share of validation answers with a like score that were right.
//!
//! The score is the cosine between the predicted embedding and that of the answer. Isotonic
//! regression (Barlow et al., 1972, by pooling adjacent violators) turns it into a share that
//! never falls as the score rises; between two steps it is interpolated.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A fitted confidence: `confidence.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// On what it was fitted, in words.
    pub fitted_on: String,
    /// Score and share of right answers, both rising.
    pub steps: Vec<Step>,
}

/// A step of the fitted function.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Mean score of the answers in it.
    pub score: f32,
    /// Share of them that were right, in [0, 1].
    pub share: f32,
}

/// Answers in the smallest step: a share of fewer says little.
const MIN_ANSWERS: usize = 50;

impl Confidence {
    /// Fits scores to whether the answer was right.
    ///
    /// # Errors
    /// [`Error::TooFewAnswers`] below [`MIN_ANSWERS`] answers.
    pub fn fit(answers: &[(f32, bool)], fitted_on: String) -> Result<Self> {
        if answers.len() < MIN_ANSWERS {
            return Err(Error::TooFewAnswers {
                found: answers.len(),
                needed: MIN_ANSWERS,
            });
        }
        let mut sorted = answers.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut pools: Vec<Pool> = vec![];
        for chunk in sorted.chunks(MIN_ANSWERS) {
            pools.push(Pool::of(chunk));
            while let [.., before, last] = pools[..]
                && (before.share() >= last.share() || last.count < MIN_ANSWERS as f64)
            {
                pools.truncate(pools.len() - 2);
                pools.push(before.with(last));
            }
        }
        let steps = pools
            .iter()
            .map(|pool| Step {
                score: (pool.scores / pool.count) as f32,
                share: pool.share() as f32,
            })
            .collect();
        Ok(Self { fitted_on, steps })
    }

    /// Reads a file of [`Confidence::fit`]'s result.
    ///
    /// # Errors
    /// [`Error::ModelConfig`] if it is no such file, [`Error::Confidence`] if its steps do not rise
    /// or leave [0, 1].
    pub fn from_json(json: &str, path: &Path) -> Result<Self> {
        let confidence: Self = serde_json::from_str(json).map_err(|source| Error::ModelConfig {
            path: path.to_owned(),
            source,
        })?;
        let rises = confidence
            .steps
            .windows(2)
            .all(|pair| pair[0].score < pair[1].score && pair[0].share <= pair[1].share);
        let shares = confidence
            .steps
            .iter()
            .all(|step| (0.0..=1.0).contains(&step.share));
        if rises && shares && !confidence.steps.is_empty() {
            Ok(confidence)
        } else {
            Err(Error::Confidence {
                path: path.to_owned(),
            })
        }
    }

    /// The share of answers with this score that are right, in [0, 1].
    pub fn share(&self, score: f32) -> f32 {
        let above = self.steps.partition_point(|step| step.score <= score);
        match (
            above.checked_sub(1).and_then(|i| self.steps.get(i)),
            self.steps.get(above),
        ) {
            (Some(a), Some(b)) => {
                a.share + (b.share - a.share) * (score - a.score) / (b.score - a.score)
            }
            (Some(step), None) | (None, Some(step)) => step.share,
            (None, None) => 0.0,
        }
    }
}

/// Answers that share one step.
#[derive(Clone, Copy, Debug)]
struct Pool {
    scores: f64,
    right: f64,
    count: f64,
}

impl Pool {
    fn of(answers: &[(f32, bool)]) -> Self {
        Self {
            scores: answers.iter().map(|answer| f64::from(answer.0)).sum(),
            right: answers.iter().filter(|answer| answer.1).count() as f64,
            count: answers.len() as f64,
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            scores: self.scores + other.scores,
            right: self.right + other.right,
            count: self.count + other.count,
        }
    }

    fn share(&self) -> f64 {
        self.right / self.count
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn finds_the_shares_that_made_the_answers() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let share = |score: f32| (score * score).clamp(0.0, 1.0);
        let mut draw = |count| -> Vec<(f32, bool)> {
            let answer = |_| {
                let score: f32 = rng.random_range(0.0..1.0);
                (score, rng.random::<f32>() < share(score))
            };
            (0..count).map(answer).collect()
        };
        let fitted = Confidence::fit(&draw(20_000), "test".into()).unwrap();
        for score in [0.1, 0.3, 0.5, 0.7, 0.9] {
            assert!((fitted.share(score) - share(score)).abs() < 0.05, "{score}");
        }
        assert!(fitted.share(-1.0) <= fitted.share(0.0));
        assert!(fitted.share(2.0) <= 1.0);
        let json = serde_json::to_string(&fitted).unwrap();
        let path = Path::new("confidence.json");
        assert_eq!(Confidence::from_json(&json, path).unwrap(), fitted);
    }

    #[test]
    fn never_falls_as_the_score_rises() {
        let noise: Vec<(f32, bool)> = (0..1000).map(|i| (i as f32, i * 7919 % 13 < 6)).collect();
        let fitted = Confidence::fit(&noise, "test".into()).unwrap();
        assert!(
            fitted
                .steps
                .windows(2)
                .all(|pair| pair[0].share <= pair[1].share)
        );
        assert!(Confidence::fit(&noise[..10], "test".into()).is_err());
    }

    #[test]
    fn damaged_files_are_refused() {
        let path = Path::new("confidence.json");
        for steps in [
            "[]",
            r#"[{"score": 0.5, "share": 0.9}, {"score": 0.6, "share": 0.1}]"#,
            r#"[{"score": 0.5, "share": 1.5}]"#,
        ] {
            let json = format!(r#"{{"fitted_on": "test", "steps": {steps}}}"#);
            assert!(Confidence::from_json(&json, path).is_err(), "{steps}");
        }
    }
}
