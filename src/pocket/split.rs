//! Leak-free splits: a meaning, with all its wordings and images, is on one side only.

use super::Meaning;

/// A side of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Nine tenths of the meanings: what encoders are trained on.
    Train,
    /// One twentieth: what settings, thresholds and confidences are fitted on.
    Validation,
    /// One twentieth: what figures are reported on.
    Test,
}

impl Split {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its name in lower case: that of its folder in a data set.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The side of a meaning; the same for every seed, so that no run can leak into another.
    pub fn of(meaning: Meaning) -> Self {
        match mix(meaning.index()) % 20 {
            0 => Self::Validation,
            1 => Self::Test,
            _ => Self::Train,
        }
    }
}

/// SplitMix64's finaliser (Steele et al., 2014): spreads neighbouring indices evenly.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_have_their_shares() {
        let mut counts = [0usize; 3];
        for colour in 0..10 {
            for place in 0..8 {
                for medium in 0..6 {
                    for subject in 0..16 {
                        let values = [subject, colour, 1, place, 2, 3, 1, medium];
                        counts[Split::of(Meaning::from_values(values)) as usize] += 1;
                    }
                }
            }
        }
        let total: usize = counts.iter().sum();
        let share = |split: Split| counts[split as usize] as f64 / total as f64;
        assert!((share(Split::Train) - 0.9).abs() < 0.01, "{counts:?}");
        assert!((share(Split::Validation) - 0.05).abs() < 0.01, "{counts:?}");
        assert!((share(Split::Test) - 0.05).abs() < 0.01, "{counts:?}");
    }
}
