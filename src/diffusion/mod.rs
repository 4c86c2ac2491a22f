//! Latent diffusion (Rombach et al., 2022): text to image, and the network that the white-box encoder
//! is taken from.
//!
//! Configurations and variables are named as in diffusers: U-Nets, autoencoders and schedules of published
//! Stable Diffusion folders are read by the same code. Latents and pixels are (batch,
//! channels, height, width) at every public function; inside, channels come last.

mod attention;
pub mod context;
pub mod donor;
pub(crate) mod prompts;
pub(crate) mod published;
mod resnet;
pub mod sampler;
pub mod schedule;
pub mod text_to_image;
pub mod unet;
pub mod vae;
