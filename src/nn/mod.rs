//! Trainable layers: like candle's, but every variable gets its gradient.
//!
//! candle's fused softmax and layer norm pass no gradient and raise no error; those of [`ops`] do
//! pass it, and so do those of [`gate`] and [`unit`](mod@unit). A layer takes the variable names of its
//! checkpoint from its user where published ones differ.

#[cfg(test)]
pub(crate) mod agreement;
pub mod attention;
pub mod block;
pub mod gate;
pub mod linear;
pub mod mlp;
pub mod norm;
pub mod ops;
pub mod patches;
pub mod trunk;
pub mod unit;
