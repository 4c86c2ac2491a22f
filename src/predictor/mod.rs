//! An image encoder with its heads and vocabulary: images in, embeddings and words out.

pub mod config;
pub mod network;
