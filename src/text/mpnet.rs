//! The relative positions of MPNet (Song 2020), which are those of T5 (Raffel 2020, s. 2.1): what is added
//! to the score of two tokens depends on how far apart they stand, in buckets that widen with distance.

use candle_core::Result;
use candle_nn::VarBuilder;

/// From here on all distances share a bucket.
const MAX_DISTANCE: f64 = 128.0;

/// A number a head for each bucket.
pub(super) struct RelativePositions {
    buckets: usize,
    heads: usize,
    /// (buckets, heads)
    table: Vec<f32>,
}

impl RelativePositions {
    /// Reads the table.
    pub(super) fn load(buckets: usize, heads: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        if buckets < 4 || !buckets.is_multiple_of(4) {
            candle_core::bail!("{buckets} buckets of relative positions");
        }
        let table = weights.get((buckets, heads), "weight")?;
        Ok(Self {
            buckets,
            heads,
            table: table.flatten_all()?.to_vec1()?,
        })
    }

    /// What is added to the scores of a text of so many tokens: (heads, tokens, tokens).
    pub(super) fn bias(&self, tokens: usize) -> Vec<f32> {
        let mut bias = vec![0.0; self.heads * tokens * tokens];
        for pair in 0..tokens * tokens {
            let bucket = bucket(pair / tokens, pair % tokens, self.buckets);
            for head in 0..self.heads {
                bias[head * tokens * tokens + pair] = self.table[bucket * self.heads + head];
            }
        }
        bias
    }
}

/// Half of the buckets are for what stands behind; half of each half for one distance each.
fn bucket(from: usize, to: usize, buckets: usize) -> usize {
    let half = buckets / 2;
    let exact = half / 2;
    let distance = from.abs_diff(to);
    let within = if distance < exact {
        distance
    } else {
        let share = (distance as f64 / exact as f64).ln() / (MAX_DISTANCE / exact as f64).ln();
        (exact + (share * (half - exact) as f64) as usize).min(half - 1)
    };
    let side = if to > from { half } else { 0 };
    side + within
}

#[cfg(test)]
mod tests {
    use super::*;

    // transformers 5.24: MPNetEncoder.relative_position_bucket(to - from, num_buckets=32)
    #[test]
    fn buckets_are_the_references() {
        for (to, expected) in [
            (0, 15),
            (40, 13),
            (90, 8),
            (97, 3),
            (100, 0),
            (101, 17),
            (109, 24),
        ] {
            assert_eq!(bucket(100, to, 32), expected, "{to}");
        }
        assert_eq!(bucket(0, 500, 32), 31);
    }
}
