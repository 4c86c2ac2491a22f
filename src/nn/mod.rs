//! Trainable layers: like candle's, but every variable gets its gradient.
//!
//! candle's fused softmax and layer norm pass no gradient and raise no error; those of [`ops`] do
//! pass it, and so do those of [`conv`],
//! [`group_norm`], [`pointwise`], [`unit`](mod@unit) and [`upsample`]. A layer takes the variable names of its
//! checkpoint from its user where published ones differ.

#[cfg(test)]
pub(crate) mod agreement;
pub mod attention;
pub mod block;
pub mod conv;
pub mod dense;
pub mod frozen;
pub mod group_norm;
pub mod linear;
pub mod mlp;
pub mod norm;
mod on_device;
pub mod ops;
pub mod patches;
pub mod pointwise;
pub mod product;
pub mod trunk;
pub mod unit;
pub mod upsample;
mod with_gradient;
