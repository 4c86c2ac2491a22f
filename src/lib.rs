//! What prompt made this image? Encoders, training and retrieval, without flags and without HTTP.
//!
//! Modules stand in the order in which they may import one another: each uses only those above it.

/// The one error of the crate, and its `Result`.
pub mod error;

/// Loops over rows of numbers, vectorised for the processor at hand.
mod numeric;

/// The processor that a model runs on.
pub mod device;

/// Weights read from safetensors files through a memory map.
pub mod weights;

/// The model store: where published weights come from, and how they are checked.
pub mod models;

/// Texts to vectors: tokenizer, pooling and the sentence encoder.
pub mod text;

/// The pocket world: prompts from a grammar, and images drawn from what they mean.
pub mod pocket;

/// Trainable layers whose every variable gets its gradient.
pub mod nn;

/// Images to vectors: decoding with limits, preprocessing, encoders.
pub mod image;

/// The joint heads: an embedding, and which vocabulary words occur.
pub mod heads;

/// What an image file itself says about its making.
pub mod metadata;

/// What goes in: prompts and images from files, and the words of prompts.
pub mod data;

/// Prompts into an index.
pub mod indexing;

/// Text in, prompts and their images out.
pub mod search;

/// A trained model: encoder, heads and vocabulary together.
pub mod predictor;

/// The main job: image in, prompt out.
pub mod reverse;

/// How good it is.
pub mod evaluate;

/// Training: loss, optimiser, checkpoints, and the loop that ties them together.
pub mod train;

pub use error::{Error, Result};
