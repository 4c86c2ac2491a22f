//! Sums of vectors.

use crate::text::cosine;

/// The sum of rows, scaled to length 1; empty without rows.
pub(super) fn unit_sum<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut sum: Vec<f32> = vec![];
    for row in rows {
        sum.resize(row.len(), 0.0);
        sum.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += value);
    }
    let norm = cosine(&sum, &sum).sqrt();
    sum.iter().map(|value| value / norm).collect()
}
