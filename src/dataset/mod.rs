//! A data set of images that a diffusion model made, with their prompts, as DiffusionDB writes itself
//! (<https://github.com/poloclub/diffusiondb>).
//!
//! A folder holds a DiffusionDB a side, `train/`, `validation/` and `test/`, each with its parts
//! `images/part-000001.zip` and its `metadata.parquet`, and the [`manifest`] `dataset.json`. Sides are
//! by meaning ([`Split`](crate::pocket::Split)). Everything is [drawn](draw) from the seed, down to
//! names and times, so that equal settings give equal bytes, and a run that was killed goes on at the
//! first part that is not there.

pub mod draw;
pub mod manifest;
mod part;
mod recipe;
mod table;

pub use recipe::DatasetRecipe;

/// Images of one of DiffusionDB's parts.
pub const PART_IMAGES: usize = 1000;
