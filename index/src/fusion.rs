//! Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): ranked lists in, one ranked
//! list out. Only ranks count, so scores of any unit can be fused.

use std::collections::HashMap;

use crate::id::{EntryId, Scored};

/// A fused entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fused {
    /// The entry.
    pub entry: EntryId,
    /// Sum over the lists of weight / (k + rank), rank from 1.
    pub score: f32,
}

/// Fuses lists, best first, that count the same; `k` above 0. Best first, ties by entry.
pub fn reciprocal_rank(lists: &[&[Scored]], k: f32) -> Vec<Fused> {
    let weighted: Vec<_> = lists.iter().map(|&list| (list, 1.0)).collect();
    weighted_reciprocal_rank(&weighted, k)
}

/// As [`reciprocal_rank`], each list with its weight.
pub fn weighted_reciprocal_rank(lists: &[(&[Scored], f32)], k: f32) -> Vec<Fused> {
    let mut sums: HashMap<EntryId, f32> = HashMap::new();
    for &(list, weight) in lists {
        for (position, scored) in list.iter().enumerate() {
            *sums.entry(scored.entry).or_default() += weight / (k + 1.0 + position as f32);
        }
    }
    let mut fused: Vec<_> = sums
        .into_iter()
        .map(|(entry, score)| Fused { entry, score })
        .collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.entry.cmp(&b.entry)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ordinal: u32) -> EntryId {
        EntryId {
            segment: 0,
            ordinal,
        }
    }

    fn list(ordinals: &[u32]) -> Vec<Scored> {
        ordinals
            .iter()
            .map(|&o| Scored {
                entry: entry(o),
                score: f32::NAN,
            })
            .collect()
    }

    #[test]
    fn found_by_both_beats_found_first_by_one() {
        let (a, b) = (list(&[1, 2]), list(&[3, 2]));
        let fused = reciprocal_rank(&[&a, &b], 60.0);
        let order: Vec<_> = fused.iter().map(|f| f.entry.ordinal).collect();
        assert_eq!(order, [2, 1, 3], "1 and 3 tie and stand by entry");
        assert!((fused[0].score - 2.0 / 62.0).abs() < 1e-7);
        assert!((fused[1].score - 1.0 / 61.0).abs() < 1e-7);
    }

    #[test]
    fn weights_tip_the_scale() {
        let (a, b) = (list(&[1]), list(&[2]));
        assert_eq!(
            weighted_reciprocal_rank(&[(&a, 1.0), (&b, 2.0)], 5.0)[0].entry,
            entry(2)
        );
        assert!(reciprocal_rank(&[], 60.0).is_empty());
    }
}
