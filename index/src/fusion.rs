//! Fusion: ranked lists in, one ranked list out.
//!
//! [`Fusion::ReciprocalRank`] (Cormack, Clarke and Buettcher, SIGIR 2009) looks at ranks only, so
//! that scores of any unit can be fused. [`Fusion::WeightedSum`] keeps how much better one answer
//! is than the next: each list's scores are scaled to [0, 1] between three standard deviations
//! below and above their mean, which outliers move less than minimum and maximum.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::id::{EntryId, Scored};

/// How the lists of a search by vectors and by keywords become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fusion {
    /// Sum of 1 / (k + rank), rank from 1.
    ReciprocalRank {
        /// Above 0: the smaller, the more the first ranks weigh, as suits a search with one right
        /// answer.
        k: f32,
    },
    /// Weighted sum of scores normalised by their distribution.
    WeightedSum {
        /// Share of the vectors' lists together, in [0, 1]; the keyword list has the rest.
        vector: f32,
    },
}

impl Default for Fusion {
    fn default() -> Fusion {
        Fusion::ReciprocalRank { k: 60.0 }
    }
}

/// A fused entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fused {
    /// The entry.
    pub entry: EntryId,
    /// Larger is better; comparable within one answer.
    pub score: f32,
}

impl Fusion {
    /// Refuses constants out of range.
    pub(crate) fn check(self) -> Result<()> {
        let (name, value, good, range) = match self {
            Fusion::ReciprocalRank { k } => ("fusion k", k, k > 0.0 && k.is_finite(), "above 0"),
            Fusion::WeightedSum { vector } => {
                let good = (0.0..=1.0).contains(&vector);
                ("fusion weight", vector, good, "between 0 and 1")
            }
        };
        if good {
            return Ok(());
        }
        Err(Error::Option {
            name,
            why: format!("{value} is not {range}"),
        })
    }

    /// Fuses what was found by each vector and by keywords, all best first. Best first, ties by entry.
    ///
    /// # Errors
    /// [`Error::Option`] for constants out of range.
    pub fn fuse(self, by_vectors: &[&[Scored]], by_keywords: &[Scored]) -> Result<Vec<Fused>> {
        self.check()?;
        Ok(match self {
            Fusion::ReciprocalRank { k } => {
                let lists: Vec<_> = by_vectors.iter().copied().chain([by_keywords]).collect();
                reciprocal_rank(&lists, k)
            }
            Fusion::WeightedSum { vector } => {
                let share = vector / by_vectors.len().max(1) as f32;
                let mut lists: Vec<_> = by_vectors.iter().map(|list| (*list, share)).collect();
                lists.push((by_keywords, 1.0 - vector));
                weighted_sum(&lists)
            }
        })
    }
}

/// Sums 1 / (k + rank) over lists, best first; `k` above 0. Best first, ties by entry.
pub fn reciprocal_rank(lists: &[&[Scored]], k: f32) -> Vec<Fused> {
    let shares = lists.iter().flat_map(|list| {
        let ranks = list.iter().zip(1u32..);
        ranks.map(move |(scored, rank)| (scored.entry, 1.0 / (k + rank as f32)))
    });
    sum(shares)
}

/// Sums weight times normalised score over lists. Best first, ties by entry.
pub fn weighted_sum(lists: &[(&[Scored], f32)]) -> Vec<Fused> {
    let shares = lists.iter().flat_map(|&(list, weight)| {
        let normalise = normaliser(list);
        list.iter()
            .map(move |scored| (scored.entry, weight * normalise(scored.score)))
    });
    sum(shares)
}

/// Three standard deviations around the mean of a list become [0, 1], and what is beyond an end;
/// if all scores are the same, they become a half.
fn normaliser(list: &[Scored]) -> impl Fn(f32) -> f32 + Copy + use<> {
    let count = list.len().max(1) as f64;
    let mean = list.iter().map(|s| f64::from(s.score)).sum::<f64>() / count;
    let squares = list.iter().map(|s| (f64::from(s.score) - mean).powi(2));
    let spread = 3.0 * (squares.sum::<f64>() / count).sqrt();
    move |score| {
        if spread <= f64::EPSILON * mean.abs() {
            return 0.5;
        }
        let place = (f64::from(score) - mean + spread) / (2.0 * spread);
        place.clamp(0.0, 1.0) as f32
    }
}

fn sum(shares: impl Iterator<Item = (EntryId, f32)>) -> Vec<Fused> {
    let mut sums: HashMap<EntryId, f32> = HashMap::new();
    for (entry, share) in shares {
        *sums.entry(entry).or_default() += share;
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

    fn list(scores: &[(u32, f32)]) -> Vec<Scored> {
        let scored = |&(ordinal, score)| Scored {
            entry: entry(ordinal),
            score,
        };
        scores.iter().map(scored).collect()
    }

    fn order(fused: &[Fused]) -> Vec<u32> {
        fused.iter().map(|f| f.entry.ordinal).collect()
    }

    #[test]
    fn found_by_both_beats_found_first_by_one() {
        let (a, b) = (list(&[(1, 9.0), (2, 8.0)]), list(&[(3, 0.3), (2, 0.2)]));
        let fused = reciprocal_rank(&[&a, &b], 60.0);
        assert_eq!(order(&fused), [2, 1, 3], "1 and 3 tie and stand by entry");
        assert!((fused[0].score - 2.0 / 62.0).abs() < 1e-7);
        assert!((fused[1].score - 1.0 / 61.0).abs() < 1e-7);
        assert!(reciprocal_rank(&[], 60.0).is_empty());
    }

    #[test]
    fn a_clear_winner_wins_by_scores_where_ranks_tie() {
        // Second in one list by a hair, first in the other by far.
        let a = list(&[(1, 0.901), (2, 0.900), (3, 0.5), (4, 0.4)]);
        let b = list(&[(2, 20.0), (1, 9.0), (5, 8.0), (6, 8.0)]);
        let ranks = Fusion::default().fuse(&[&a], &b).unwrap();
        assert_eq!(ranks[0].score, ranks[1].score);
        let sums = Fusion::WeightedSum { vector: 0.5 }.fuse(&[&a], &b).unwrap();
        assert_eq!(order(&sums)[..2], [2, 1]);
        assert!(sums.iter().all(|f| (0.0..=1.0).contains(&f.score)));
    }

    #[test]
    fn normalising_keeps_order_and_survives_equal_scores() {
        let scores = list(&[(1, 5.0), (2, 3.0), (3, 2.0)]);
        let fused = weighted_sum(&[(&scores, 1.0)]);
        // Mean 10/3, standard deviation 1.247.
        assert_eq!(order(&fused), [1, 2, 3]);
        assert!((fused[0].score - 0.722_71).abs() < 1e-4, "{fused:?}");
        let equal = weighted_sum(&[(&list(&[(1, 0.1), (2, 0.1)]), 1.0)]);
        assert!(equal.iter().all(|f| f.score == 0.5));
        let alone = Fusion::WeightedSum { vector: 1.0 };
        assert_eq!(
            order(&alone.fuse(&[&scores], &list(&[(3, 1.0)])).unwrap()),
            [1, 2, 3]
        );
    }

    #[test]
    fn constants_out_of_range_are_refused() {
        for k in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(Fusion::ReciprocalRank { k }.fuse(&[&[]], &[]).is_err());
        }
        for vector in [-0.1, 1.1, f32::NAN] {
            assert!(Fusion::WeightedSum { vector }.fuse(&[&[]], &[]).is_err());
        }
    }
}
