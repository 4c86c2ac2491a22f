//! What prompt made this image? Encoders, training and retrieval, without flags and without HTTP.
//!
//! Modules stand in the order in which they may import one another: each uses only those above it.
//!
//! - [`error`]: the one error of the crate, and its `Result`
//! - [`device`]: the processor that a model runs on
//! - [`weights`]: weights read from safetensors files through a memory map
//! - [`models`]: where published weights come from, and how they are checked
//! - [`text`]: texts to vectors

pub mod error;

pub mod device;

pub mod weights;

pub mod models;

pub mod text;

pub use error::{Error, Result};
