//! Which texts are encoded together.
//!
//! Texts are taken longest first, so that those of like lengths meet.

use std::ops::Range;

/// How the texts of a batch lie beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// One after the other, of any lengths.
    Packed,
    /// Each filled up to the longest: graphics processors want large batches and do not mind a little padding.
    Padded,
    /// Only texts of the same length share a batch.
    Equal,
}

/// The limits of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    /// The most texts.
    pub(super) texts: usize,
    /// The most tokens, padding included. A text alone may have more.
    pub(super) tokens: usize,
    pub(super) packing: Packing,
}

/// Texts by falling length, and the batches among them.
pub(super) struct Plan {
    order: Vec<usize>,
    batches: Vec<Range<usize>>,
}

impl Plan {
    /// Plans batches for texts of these lengths in tokens.
    pub(super) fn new(lengths: &[usize], limits: BatchLimits) -> Self {
        let mut order: Vec<_> = (0..lengths.len()).collect();
        order.sort_by_key(|&text| std::cmp::Reverse(lengths[text]));
        let mut batches: Vec<Range<usize>> = Vec::new();
        let mut packed = 0;
        for (place, &text) in order.iter().enumerate() {
            packed += lengths[text];
            if let Some(batch) = batches.last_mut() {
                let longest = lengths[order[batch.start]];
                let texts = batch.len() + 1;
                let tokens = match limits.packing {
                    Packing::Packed => packed,
                    Packing::Padded | Packing::Equal => texts * longest,
                };
                let fits = limits.packing != Packing::Equal || lengths[text] == longest;
                if texts <= limits.texts && tokens <= limits.tokens && fits {
                    batch.end = place + 1;
                    continue;
                }
            }
            packed = lengths[text];
            batches.push(place..place + 1);
        }
        Self { order, batches }
    }

    /// The number of batches.
    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    /// The texts of a batch, longest first, by their places in the input; `None` after the last batch.
    pub(super) fn batch(&self, number: usize) -> Option<&[usize]> {
        Some(&self.order[self.batches.get(number)?.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(lengths: &[usize], texts: usize, tokens: usize, packing: Packing) -> Vec<Vec<usize>> {
        let limits = BatchLimits {
            texts,
            tokens,
            packing,
        };
        let plan = Plan::new(lengths, limits);
        let batches: Vec<_> = (0..)
            .map_while(|b| plan.batch(b).map(<[_]>::to_vec))
            .collect();
        assert_eq!(batches.len(), plan.len());
        batches
    }

    #[test]
    fn only_equal_lengths_meet_where_they_have_to() {
        assert_eq!(
            plan(&[3, 5, 3, 9, 5, 3], 2, 100, Packing::Equal),
            [vec![3], vec![1, 4], vec![0, 2], vec![5]]
        );
    }

    #[test]
    fn padding_counts_as_tokens_where_there_is_any() {
        let lengths = [4, 2, 3, 4];
        assert_eq!(
            plan(&lengths, 10, 12, Packing::Padded),
            [vec![0, 3, 2], vec![1]]
        );
        assert_eq!(plan(&lengths, 10, 13, Packing::Packed), [vec![0, 3, 2, 1]]);
        assert_eq!(
            plan(&lengths, 10, 10, Packing::Packed),
            [vec![0, 3], vec![2, 1]]
        );
    }

    #[test]
    fn a_text_longer_than_the_limit_goes_alone() {
        for packing in [Packing::Packed, Packing::Padded, Packing::Equal] {
            assert_eq!(plan(&[50, 50], 8, 10, packing), [vec![0], vec![1]]);
            assert_eq!(plan(&[], 8, 10, packing), Vec::<Vec<usize>>::new());
        }
    }
}
