//! What prompt made this image? Encoders, training and retrieval, without flags and without HTTP.
//!
//! Modules stand in the order in which they may import one another: each uses only those above it.
//! The main job is [`reverse`]; [`search`] answers texts, [`indexing`] makes an index, [`train`] and
//! [`evaluate`] a model. ARCHITECTURE.md follows an image through all of them.

pub mod error;

mod files;

mod numeric;

pub mod matmul;

mod random;

pub mod device;

pub mod weights;

#[cfg(test)]
mod parity;

pub mod bundle;

pub mod models;

pub mod nn;

pub mod text;

pub mod pocket;

pub mod diffusion;

pub mod heads;

pub mod image;

pub mod metadata;

pub mod data;

pub mod dataset;

pub mod indexing;

pub mod search;

pub mod adapt;

pub mod predictor;

pub mod checker;

pub mod reverse;

pub mod evaluate;

pub mod train;

pub use error::{Error, Result};
