//! Which texts are encoded together.
//!
//! Texts are taken longest first. On the CPU only those of the same length share a batch: padding costs
//! as much as text does, and small batches stay in the cache. A graphics processor wants large batches
//! and does not mind a little padding.

use std::ops::Range;

/// The limits of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    /// The most texts.
    pub(super) texts: usize,
    /// The most tokens, padding included. A text alone may have more.
    pub(super) tokens: usize,
    /// Whether texts may be padded to the longest of the batch.
    pub(super) padding: bool,
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
        for (place, &text) in order.iter().enumerate() {
            if let Some(batch) = batches.last_mut() {
                let longest = lengths[order[batch.start]];
                let texts = batch.len() + 1;
                if texts <= limits.texts
                    && texts * longest <= limits.tokens
                    && (limits.padding || lengths[text] == longest)
                {
                    batch.end = place + 1;
                    continue;
                }
            }
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

    fn plan(lengths: &[usize], texts: usize, tokens: usize, padding: bool) -> Vec<Vec<usize>> {
        let plan = Plan::new(
            lengths,
            BatchLimits {
                texts,
                tokens,
                padding,
            },
        );
        let batches: Vec<_> = (0..)
            .map_while(|b| plan.batch(b).map(<[_]>::to_vec))
            .collect();
        assert_eq!(batches.len(), plan.len());
        batches
    }

    #[test]
    fn without_padding_only_equal_lengths_meet() {
        assert_eq!(
            plan(&[3, 5, 3, 9, 5, 3], 2, 100, false),
            [vec![3], vec![1, 4], vec![0, 2], vec![5]]
        );
    }

    #[test]
    fn padding_counts_as_tokens() {
        assert_eq!(plan(&[4, 2, 3, 4], 10, 12, true), [vec![0, 3, 2], vec![1]]);
    }

    #[test]
    fn a_text_longer_than_the_limit_goes_alone() {
        assert_eq!(plan(&[50, 50], 8, 10, false), [vec![0], vec![1]]);
        assert_eq!(plan(&[], 8, 10, false), Vec::<Vec<usize>>::new());
    }
}
