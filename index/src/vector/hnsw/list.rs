//! The best nodes of a walk in one sorted array, those to expand among them, as Vamana keeps them
//! (Jayaram Subramanya et al., NeurIPS 2019): where there are a few hundred, to move a part of an
//! array is faster than two heaps.

use crate::vector::Candidate;

/// At most so many candidates as were asked for, best first, each expanded or not yet.
///
/// A candidate is one number, greater where the candidate is better: the bits of its score so that
/// they are ordered as [`f32::total_cmp`] has it, then its row from the last to the first, and at
/// the end whether it is still to be expanded. Rows have 31 bits.
#[derive(Debug, Default)]
pub(super) struct List {
    keys: Vec<u64>,
    limit: usize,
    /// No candidate before this one is to be expanded.
    next: usize,
}

const OPEN: u64 = 1;

fn key(candidate: Candidate) -> u64 {
    let bits = candidate.score.to_bits();
    let negative = bits >> 31 == 1;
    let ordered = if negative { !bits } else { bits | 1 << 31 };
    u64::from(ordered) << 32 | u64::from(!(candidate.row << 1) & !1) | OPEN
}

fn row(key: u64) -> u32 {
    !(key as u32) >> 1
}

fn candidate(key: u64) -> Candidate {
    let ordered = (key >> 32) as u32;
    let negative = ordered >> 31 == 0;
    let bits = if negative {
        !ordered
    } else {
        ordered & !(1 << 31)
    };
    Candidate {
        score: f32::from_bits(bits),
        row: row(key),
    }
}

impl List {
    /// Forgets all candidates; from now on there are `limit` of them at most.
    pub(super) fn clear(&mut self, limit: usize) {
        self.keys.clear();
        self.limit = limit;
        self.next = 0;
    }

    /// Adds a candidate that was not there, unless it is worse than `limit` others; whether it is
    /// the next to be expanded.
    #[inline]
    pub(super) fn offer(&mut self, candidate: Candidate) -> bool {
        let key = key(candidate);
        if self.keys.len() >= self.limit {
            if self.keys.last().is_none_or(|&worst| key < worst) {
                return false;
            }
            self.keys.pop();
        }
        let place = self.keys.partition_point(|&other| other > key);
        self.keys.insert(place, key);
        let first = place <= self.next;
        self.next = self.next.min(place);
        first
    }

    /// The best candidate that is still to be expanded, which it then no longer is.
    #[inline]
    pub(super) fn expand(&mut self) -> Option<u32> {
        self.skip();
        let key = self.keys.get_mut(self.next)?;
        *key &= !OPEN;
        let row = row(*key);
        self.skip();
        Some(row)
    }

    /// The candidate that [`List::expand`] will give, as things are.
    #[inline]
    pub(super) fn peek(&self) -> Option<u32> {
        self.keys.get(self.next).map(|&key| row(key))
    }

    fn skip(&mut self) {
        while self.keys.get(self.next).is_some_and(|key| key & OPEN == 0) {
            self.next += 1;
        }
    }

    /// All candidates, best first.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate> {
        self.keys.iter().map(|&key| candidate(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_score_row_and_their_order() {
        let scores = [f32::MIN, -1.0, -0.0, 0.0, f32::MIN_POSITIVE, 0.5, f32::MAX];
        let rows = [0, 1, 7, (1 << 31) - 2];
        let all: Vec<Candidate> = scores
            .into_iter()
            .flat_map(|score| rows.map(|row| Candidate { score, row }))
            .collect();
        for &a in &all {
            assert_eq!(candidate(key(a)), a);
            for &b in &all {
                assert_eq!(key(a).cmp(&key(b)), a.cmp(&b), "{a:?}, {b:?}");
            }
        }
    }

    #[test]
    fn the_best_are_kept_and_each_is_expanded_once() {
        let mut list = List::default();
        for _ in 0..2 {
            list.clear(3);
            let mut offer = |score, row| list.offer(Candidate { score, row });
            assert!(offer(0.5, 1));
            assert!(!offer(0.4, 2));
            assert!(offer(0.5, 0), "of equal scores the smaller row");
            assert!(!offer(0.3, 3), "too bad");
            assert_eq!(list.peek(), Some(0));
            assert_eq!((list.expand(), list.expand()), (Some(0), Some(1)));
            assert!(list.offer(Candidate {
                score: 0.45,
                row: 4
            }));
            let rows: Vec<u32> = list.candidates().map(|it| it.row).collect();
            assert_eq!(rows, [0, 1, 4]);
            assert_eq!((list.expand(), list.expand()), (Some(4), None));
        }
    }
}
