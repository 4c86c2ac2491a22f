//! The relative positions of MPNet (Song 2020), which are those of T5 (Raffel 2020, s. 2.1): what is added
//! to the score of two tokens depends on how far apart they stand, in buckets that widen with distance.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// From here on all distances share a bucket.
const MAX_DISTANCE: f64 = 128.0;

/// A number a head for each bucket.
pub(super) struct RelativePositions {
    /// (buckets, heads)
    table: Tensor,
}

impl RelativePositions {
    /// Reads the table.
    pub(super) fn load(buckets: usize, heads: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        if buckets < 4 || !buckets.is_multiple_of(4) {
            candle_core::bail!("{buckets} buckets of relative positions");
        }
        let table = weights.get((buckets, heads), "weight")?;
        Ok(Self { table })
    }

    /// What is added to the scores of texts of `tokens` tokens: (heads, tokens, tokens).
    pub(super) fn bias(&self, tokens: usize) -> Result<Tensor> {
        let (buckets, heads) = self.table.dims2()?;
        let pairs = (0..tokens).flat_map(|from| (0..tokens).map(move |to| (from, to)));
        let pairs: Vec<u32> = pairs.map(|(from, to)| bucket(from, to, buckets)).collect();
        let pairs = Tensor::from_vec(pairs, tokens * tokens, self.table.device())?;
        self.table
            .index_select(&pairs, 0)?
            .t()?
            .reshape((heads, tokens, tokens))
    }
}

/// Half of the buckets are for what stands behind; half of each half for one distance each.
fn bucket(from: usize, to: usize, buckets: usize) -> u32 {
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
    (side + within) as u32
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
