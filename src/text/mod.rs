//! Texts to vectors, with the published sentence encoder all-MiniLM-L6-v2: split into tokens
//! ([`tokenize`]), encoded by BERT, averaged and scaled to unit length ([`pool`]).
//! [`SentenceEncoder`] does all of it, for many texts at once.

mod batch;
mod bert;
mod kernels;
pub mod pool;
mod sentence;
pub mod tokenize;

pub use sentence::{Embeddings, EncoderIdentity, SentenceEncoder};
