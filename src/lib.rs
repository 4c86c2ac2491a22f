//! What prompt made this image? Encoders, training and retrieval, without flags and without HTTP.
//!
//! Modules stand in the order in which they may import one another: each uses only those above it.

pub mod device;
pub mod error;
pub mod heads;
pub mod image;
pub mod nn;
pub mod pocket;
pub mod predictor;
pub mod train;
pub mod weights;
pub use error::{Error, Result};
