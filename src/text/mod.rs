//! Texts to vectors, with published sentence encoders, by default all-MiniLM-L6-v2: split into tokens
//! ([`tokenize`]), encoded by BERT, MPNet or [`clip`]'s text tower, pooled and scaled to unit length ([`pool`]).
//! [`SentenceEncoder`] does all of it, for many texts at once.

mod attention;
mod batch;
mod bert;
pub mod clip;
mod folder;
mod kernels;
mod mpnet;
mod network;
mod padded;
pub mod pool;
mod sentence;
mod states;
pub mod tokenize;

use crate::numeric;

pub(crate) use folder::identity;
pub use sentence::{Embeddings, EncoderIdentity, SentenceEncoder};
pub use states::TokenStates;

/// The cosine of two unit vectors, in [-1, 1]; larger is nearer.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    numeric::vectorised(
        #[inline(always)]
        || numeric::dot(a, b),
    )
}

/// The mean cosine of pairs of unit vectors; 0 without pairs.
pub fn mean_cosine<'a, 'b>(pairs: impl Iterator<Item = (&'a [f32], &'b [f32])>) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for (a, b) in pairs {
        sum += f64::from(cosine(a, b));
        count += 1;
    }
    sum / count.max(1) as f64
}
