//! Isotonic regression: a share that never falls as a score rises.

use serde::{Deserialize, Serialize};

/// Steps of a share by score (Barlow et al., 1972, by pooling adjacent violators); between two of them it
/// is interpolated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Isotonic {
    /// Score and share, both rising.
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
pub(super) const MIN_ANSWERS: usize = 50;

impl Isotonic {
    /// Fits scores to whether the answer was right; `None` below [`MIN_ANSWERS`] answers.
    pub(super) fn fit(mut answers: Vec<(f32, bool)>) -> Option<Self> {
        if answers.len() < MIN_ANSWERS {
            return None;
        }
        answers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut pools: Vec<Pool> = vec![];
        for chunk in answers.chunks(MIN_ANSWERS) {
            pools.push(Pool::of(chunk));
            while let [.., before, last] = pools[..]
                && (before.share() >= last.share()
                    || before.score() >= last.score()
                    || last.count < MIN_ANSWERS as f64)
            {
                pools.truncate(pools.len() - 2);
                pools.push(before.with(last));
            }
        }
        let step = |pool: &Pool| Step {
            score: pool.score(),
            share: pool.share() as f32,
        };
        Some(Self {
            steps: pools.iter().map(step).collect(),
        })
    }

    /// Whether there are steps, which rise and stay within [0, 1].
    pub(super) fn is_sound(&self) -> bool {
        let rises = self
            .steps
            .windows(2)
            .all(|pair| pair[0].score < pair[1].score && pair[0].share <= pair[1].share);
        let shares = self.steps.iter().map(|step| step.share);
        rises
            && shares.into_iter().all(|share| (0.0..=1.0).contains(&share))
            && !self.steps.is_empty()
    }

    /// The share at a score, in [0, 1].
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

    fn score(&self) -> f32 {
        (self.scores / self.count) as f32
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
        let fitted = Isotonic::fit(draw(20_000)).unwrap();
        for score in [0.1, 0.3, 0.5, 0.7, 0.9] {
            assert!((fitted.share(score) - share(score)).abs() < 0.05, "{score}");
        }
        assert!(fitted.share(-1.0) <= fitted.share(0.0));
        assert!(fitted.share(2.0) <= 1.0);
        assert!(fitted.is_sound());
    }

    #[test]
    fn never_falls_as_the_score_rises() {
        let noise: Vec<(f32, bool)> = (0..1000).map(|i| (i as f32, i * 7919 % 13 < 6)).collect();
        assert!(Isotonic::fit(noise[..10].to_vec()).is_none());
        assert!(Isotonic::fit(noise).unwrap().is_sound());
        // Equal scores are one step, however their answers fall.
        let equal: Vec<(f32, bool)> = (0..200).map(|i| (0.5, i >= 100)).collect();
        let fitted = Isotonic::fit(equal).unwrap();
        assert!(fitted.is_sound() && fitted.share(0.5) == 0.5);
    }
}
