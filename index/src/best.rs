//! The best of many, where equal scores stand in the order of their [`PromptId`]: the one order
//! that does not depend on how prompts are spread over segments.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::id::{EntryId, PromptId, Scored};

/// An entry that was found. The greater, the better: by score, then by the smaller id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) score: f32,
    pub(crate) id: PromptId,
    pub(crate) entry: EntryId,
}

impl Found {
    pub(crate) fn scored(self) -> Scored {
        Scored {
            entry: self.entry,
            score: self.score,
        }
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Found) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.id.cmp(&self.id))
    }
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Found) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Found) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Found {}

/// Keeps the `k` best of what it is offered.
pub(crate) struct Best {
    k: usize,
    heap: BinaryHeap<Reverse<Found>>,
}

impl Best {
    pub(crate) fn new(k: usize) -> Best {
        Best {
            k,
            heap: BinaryHeap::new(),
        }
    }

    /// Whether an entry of this score has a chance.
    #[inline]
    pub(crate) fn wants(&self, score: f32) -> bool {
        let full = self.heap.len() >= self.k;
        !full || self.heap.peek().is_some_and(|worst| score >= worst.0.score)
    }

    /// The least score that has a chance.
    pub(crate) fn least(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() >= self.k => worst.0.score,
            _ => f32::NEG_INFINITY,
        }
    }

    /// Offers an entry; `id` is asked only if it has a chance.
    #[inline]
    pub(crate) fn offer(
        &mut self,
        score: f32,
        entry: EntryId,
        id: impl FnOnce() -> Result<PromptId>,
    ) -> Result<()> {
        if self.wants(score) {
            self.put(Found {
                score,
                id: id()?,
                entry,
            });
        }
        Ok(())
    }

    fn put(&mut self, found: Found) {
        if self.heap.len() < self.k {
            self.heap.push(Reverse(found));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && found > worst.0
        {
            *worst = Reverse(found);
        }
    }

    /// What was kept, best first.
    pub(crate) fn into_sorted(self) -> Vec<Found> {
        let sorted = self.heap.into_sorted_vec().into_iter();
        sorted.map(|Reverse(found)| found).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_smaller_ids_stay_whatever_came_first() {
        let texts: Vec<String> = (0..50).map(|i| i.to_string()).collect();
        let mut ids: Vec<PromptId> = texts.iter().map(|text| PromptId::of(text)).collect();
        let keep = |ids: &[PromptId]| -> Vec<PromptId> {
            let mut best = Best::new(5);
            for (&id, ordinal) in ids.iter().zip(0..) {
                let entry = EntryId {
                    segment: 0,
                    ordinal,
                };
                best.offer(0.5, entry, || Ok(id)).unwrap();
            }
            best.into_sorted().iter().map(|found| found.id).collect()
        };
        let forwards = keep(&ids);
        ids.reverse();
        assert_eq!(keep(&ids), forwards);
        ids.sort();
        assert_eq!(forwards, ids[..5]);
        assert!(Best::new(0).into_sorted().is_empty());
    }
}
