//! The database: [`Writer`] makes and extends an index, [`delete`] and [`compact`] take away,
//! [`Index`] answers from it.

mod delete;
mod index;
mod lock;
mod options;
mod removal;
mod search;
mod staging;
mod stats;
mod transaction;
mod writer;

pub use self::delete::{delete, delete_observed};
pub use self::index::Index;
pub(crate) use self::index::at_one_commit;
pub use self::options::{
    BuildOptions, Bytes, Deletion, DeletionReport, Encoder, Phase, SearchRequest, Stats,
    VectorOptions,
};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::stats::stats;
pub use self::writer::{Writer, compact};

use crate::error::{Error, Result};

/// How far the length of a unit vector may be from 1: more than rounding ever does, less than any
/// vector that was never normalised.
const UNIT_TOLERANCE: f64 = 1e-3;

/// Refuses what is not a finite unit vector of `dim` numbers.
fn check_vector(vector: &[f32], dim: usize) -> Result<()> {
    if vector.len() != dim {
        return Err(Error::Dim {
            expected: dim,
            got: vector.len(),
        });
    }
    if let Some(at) = vector.iter().position(|value| !value.is_finite()) {
        let why = format!("number {at} is {}", vector[at]);
        return Err(Error::Vector { why });
    }
    let length = vector
        .iter()
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt();
    if (length - 1.0).abs() > UNIT_TOLERANCE {
        return Err(Error::Vector {
            why: format!("its length is {length:.4}"),
        });
    }
    Ok(())
}

/// A dot product of vectors that are units but for rounding, as the cosine that it stands for.
fn as_cosine(dot: f32) -> f32 {
    dot.clamp(-1.0, 1.0)
}
