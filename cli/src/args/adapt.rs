//! `adapt`.

use std::path::PathBuf;

use clap::Args;
use unprompt::data::source::Source;

use super::positive;

/// Arguments of `adapt`.
#[derive(Debug, Args)]
pub(crate) struct AdaptArgs {
    /// The model or ensemble: a built-in one or a folder.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "vit",
        env = "UNPROMPT_MODEL"
    )]
    pub(crate) model: String,

    /// Images to adapt to: files and folders, without their prompts.
    #[arg(long, required = true, num_args = 1.., value_name = "IMAGES", env = "UNPROMPT_TARGET")]
    pub(crate) target: Vec<PathBuf>,

    /// The adapted model's folder: that of the model, or another, which gets a copy of it.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,

    /// Image-prompt pairs as the model was trained on: pocket:N for N prompts of the pocket world; the
    /// folder of `unprompt dataset`, or of a DiffusionDB with its images in part-*.zip. pocket:20000 for
    /// a built-in model.
    #[arg(long, value_name = "SOURCE", env = "UNPROMPT_DATA")]
    pub(crate) data: Option<Source>,

    /// Centroids that predictions for training images are gathered in, at most: 10000 take 1.6 GB,
    /// twice as many four times that.
    #[arg(long, value_name = "N", default_value_t = 10_000, env = "UNPROMPT_CENTROIDS",
        value_parser = clap::value_parser!(u32).range(1..=40_000))]
    pub(crate) centroids: u32,

    /// How fast similarity falls with distance.
    #[arg(long, value_name = "X", default_value_t = 0.01, env = "UNPROMPT_GAMMA",
        value_parser = positive)]
    pub(crate) gamma: f64,

    /// The ridge penalty. 10 is meant for some ten thousand centroids and images; with a hundredth of
    /// each, and gamma 0.01, it leaves hardly more than the mean embedding.
    #[arg(long, value_name = "X", default_value_t = 10.0, env = "UNPROMPT_ALPHA",
        value_parser = positive)]
    pub(crate) alpha: f64,

    /// Seed of the clustering, and of the pocket world's prompts.
    #[arg(long, value_name = "N", default_value_t = 1, env = "UNPROMPT_SEED")]
    pub(crate) seed: u64,
}
