//! Trainable layers: like candle's, but every variable gets its gradient.
//!
//! candle's fused softmax and layer norm pass no gradient and raise no error; those of [`ops`] do
//! pass it. Variable names are those of the published checkpoints.

pub mod attention;
pub mod conv;
pub mod group_norm;
pub mod linear;
pub mod mlp;
pub mod norm;
pub mod ops;
pub mod pointwise;
pub mod upsample;
