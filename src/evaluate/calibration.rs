//! Whether a confidence is what it says: the share of answers that are right.

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
}

impl Calibration {
    /// Of answers to images whose prompt is known.
    pub fn of<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        Self::of_answers(cases.map(|case| (case.answer.confidence, case.says_the_same())))
    }

    /// Of confidences, in [0, 1], and whether the answers were right.
    fn of_answers(answers: impl Iterator<Item = (f32, bool)>) -> Self {
        let mut sums = [(0.0, 0usize, 0usize); BINS];
        for (confidence, is_right) in answers {
            let confidence = f64::from(confidence);
            let bin = &mut sums[((confidence * BINS as f64) as usize).min(BINS - 1)];
            bin.0 += confidence;
            bin.1 += usize::from(is_right);
            bin.2 += 1;
        }
        let filled = sums.into_iter().filter(|bin| bin.2 > 0);
        let bins: Vec<Bin> = filled
            .map(|(confidence, right, answers)| Bin {
                confidence: confidence / answers as f64,
                right: right as f64 / answers as f64,
                answers,
            })
            .collect();
        let all: usize = bins.iter().map(|bin| bin.answers).sum();
        let gaps = bins
            .iter()
            .map(|bin| (bin.confidence - bin.right).abs() * bin.answers as f64);
        Self {
            error: gaps.sum::<f64>() / all.max(1) as f64,
            bins,
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(Calibration::of_answers(std::iter::empty()).error, 0.0);
    }
}
