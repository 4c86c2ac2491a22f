//! Texts to vectors, with the published sentence encoder all-MiniLM-L6-v2: split into tokens
//! ([`tokenize`]), encoded by BERT, averaged and scaled to unit length ([`pool`]).
//! [`SentenceEncoder`] does all of it, for many texts at once.

mod batch;
mod bert;
mod kernels;
pub mod pool;
mod sentence;
mod states;
pub mod tokenize;

use crate::numeric;

pub use sentence::{Embeddings, EncoderIdentity, SentenceEncoder};
pub use states::TokenStates;

/// The cosine of two unit vectors, in [-1, 1]; larger is nearer.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    numeric::vectorised(|| numeric::dot(a, b))
}
