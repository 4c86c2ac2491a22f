//! `ensemble` and `graft`.

use std::path::PathBuf;

use clap::Args;
use unprompt::data::source::Source;

use super::share;

/// Arguments of `ensemble`.
#[derive(Debug, Args)]
pub(crate) struct EnsembleArgs {
    /// The models: built-in ones or folders.
    #[arg(required = true, value_name = "NAME|DIR")]
    pub(crate) models: Vec<String>,

    /// The ensemble's folder; it will hold copies of the models.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,

    /// Where validation images come from: pocket, the folder of `unprompt dataset`, or that of a
    /// DiffusionDB with its images in part-*.zip.
    #[arg(
        long,
        value_name = "SOURCE",
        default_value = "pocket",
        env = "UNPROMPT_DATA"
    )]
    pub(crate) data: Source,

    /// Validation images that the weights are chosen on, at most.
    #[arg(long, value_name = "N", default_value_t = 2000, env = "UNPROMPT_IMAGES",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) images: u32,

    /// Seed of the pocket world's images.
    #[arg(long, value_name = "N", default_value_t = 1, env = "UNPROMPT_SEED")]
    pub(crate) seed: u64,
}

/// Arguments of `graft`.
#[derive(Debug, Args)]
pub(crate) struct GraftArgs {
    /// The diffusion model that the white box began with: a built-in one or a folder.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "pocket",
        env = "UNPROMPT_MODEL"
    )]
    pub(crate) model: String,

    /// The white box: the folder of `train --encoder unet`.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_ENCODER")]
    pub(crate) encoder: String,

    /// How much of the white box's weights to take, from 0 to 1; the rest are the diffusion model's own.
    #[arg(long, value_name = "X", default_value_t = 1.0, env = "UNPROMPT_SHARE",
        value_parser = share)]
    pub(crate) share: f64,

    /// The folder of the diffusion model that comes of it.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,
}
