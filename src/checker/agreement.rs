//! How far what images show agrees with what their prompts say.

use crate::pocket::Meaning;

/// Shares of images, in [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// By attribute, in the order of [`Meaning::ATTRIBUTES`].
    pub attributes: [f64; Meaning::RADICES.len()],
    /// All attributes at once.
    pub all: f64,
}

impl Agreement {
    /// Compares meanings pair by pair; of no pairs, everything agrees with a share of 0.
    pub fn of(shown: &[Meaning], said: &[Meaning]) -> Self {
        let pairs = || shown.iter().zip(said);
        let count = pairs().count().max(1) as f64;
        let mut right = [0usize; Meaning::RADICES.len()];
        for (shown, said) in pairs() {
            for ((right, a), b) in right.iter_mut().zip(shown.values()).zip(said.values()) {
                *right += usize::from(a == b);
            }
        }
        Self {
            attributes: right.map(|right| right as f64 / count),
            all: pairs().filter(|(shown, said)| shown == said).count() as f64 / count,
        }
    }

    /// The mean over attributes.
    pub fn mean(&self) -> f64 {
        self.attributes.iter().sum::<f64>() / self.attributes.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counted_by_attribute_and_as_a_whole() {
        let said = [[0, 1, 2, 3, 0, 1, 2, 3], [5, 1, 2, 3, 0, 1, 2, 3]].map(Meaning::from_values);
        let shown = [[0, 1, 2, 3, 0, 1, 2, 3], [6, 1, 0, 3, 0, 1, 2, 3]].map(Meaning::from_values);
        let agreement = Agreement::of(&shown, &said);
        assert_eq!(
            agreement.attributes,
            [0.5, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
        );
        assert_eq!((agreement.all, agreement.mean()), (0.5, 0.875));
    }
}
