//! Whether a confidence is what it says: the share of answers that are right.

use std::f64::consts::PI;

use serde::Serialize;

use super::cases::Case;

/// Bins of equal width that confidences are sorted into.
const BINS: usize = 10;

/// Answers with a like confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that say the same as the true prompt.
    pub right: f64,
    /// How many there are; at least one.
    pub answers: usize,
}

/// How far a confidence can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Mean difference between confidence and share of right answers (expected calibration error; Naeini et
    /// al., 2015).
    pub error: f64,
    /// What it is the mean of, from the lowest confidence to the highest; bins without answers are left out.
    pub bins: Vec<Bin>,
    /// About what the error would be on average if every confidence were exact, as shares of few answers vary: each bin's
    /// taken for normal, which is too much for bins of one or two answers.
    pub chance: f64,
}

impl Calibration {
    /// Of answers to images whose prompt is known.
    pub fn of<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        Self::of_answers(cases.map(|case| (case.answer.confidence, case.says_the_same())))
    }

    /// Of confidences, in [0, 1], and whether the answers were right.
    fn of_answers(answers: impl Iterator<Item = (f32, bool)>) -> Self {
        // Confidences, their variances, right answers, answers.
        let mut sums = [(0.0, 0.0, 0usize, 0usize); BINS];
        for (confidence, is_right) in answers {
            let confidence = f64::from(confidence);
            let bin = &mut sums[((confidence * BINS as f64) as usize).min(BINS - 1)];
            bin.0 += confidence;
            bin.1 += confidence * (1.0 - confidence);
            bin.2 += usize::from(is_right);
            bin.3 += 1;
        }
        let filled = sums.into_iter().filter(|bin| bin.3 > 0);
        let bins: Vec<Bin> = filled
            .map(|(confidence, _, right, answers)| Bin {
                confidence: confidence / answers as f64,
                right: right as f64 / answers as f64,
                answers,
            })
            .collect();
        let all: usize = bins.iter().map(|bin| bin.answers).sum();
        let gaps = bins
            .iter()
            .map(|bin| (bin.confidence - bin.right).abs() * bin.answers as f64);
        // The mean distance of a normal variable from its mean.
        let by_chance = sums.iter().map(|bin| (bin.1 * 2.0 / PI).sqrt());
        Self {
            error: gaps.sum::<f64>() / all.max(1) as f64,
            chance: by_chance.sum::<f64>() / all.max(1) as f64,
            bins,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_error_is_the_mean_gap_of_bins() {
        let answers = [(0.95, true), (0.95, true), (1.0, false), (0.15, false)];
        let calibration = Calibration::of_answers(answers.into_iter());
        assert_eq!(calibration.bins.len(), 2);
        let [low, high] = [calibration.bins[0], calibration.bins[1]];
        assert_eq!((low.answers, low.right, high.answers), (1, 0.0, 3));
        let expected = ((0.95 + 0.95 + 1.0) / 3.0 - 2.0 / 3.0) * 3.0 / 4.0 + 0.15 / 4.0;
        assert!((calibration.error - expected).abs() < 1e-6);
        let none = Calibration::of_answers(std::iter::empty());
        assert_eq!((none.error, none.chance), (0.0, 0.0));
    }

    #[test]
    fn chance_is_the_error_of_exact_confidences() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut errors, mut chances) = (0.0, 0.0);
        for _ in 0..200 {
            let answer = |_| {
                let confidence: f32 = rng.random();
                (confidence, rng.random::<f32>() < confidence)
            };
            let answers: Vec<(f32, bool)> = (0..500).map(answer).collect();
            let calibration = Calibration::of_answers(answers.into_iter());
            errors += calibration.error / 200.0;
            chances += calibration.chance / 200.0;
        }
        assert!((errors - chances).abs() < 0.003, "{errors} {chances}");
        assert!(errors > 0.03);
    }
}
