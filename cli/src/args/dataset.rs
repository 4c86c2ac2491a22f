//! `dataset`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `dataset`.
#[derive(Debug, Args)]
pub(crate) struct DatasetArgs {
    /// The data set's folder. Stopped half-way, the same command goes on where it was.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,

    /// The diffusion model: a built-in one or a folder.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "pocket",
        env = "UNPROMPT_MODEL"
    )]
    pub(crate) model: String,

    /// Images to train on.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20_000,
        env = "UNPROMPT_TRAIN"
    )]
    pub(crate) train: usize,

    /// Images to fit settings on; no meaning of theirs is trained on.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2000,
        env = "UNPROMPT_VALIDATION"
    )]
    pub(crate) validation: usize,

    /// Images to report figures on, of meanings that neither of the others has.
    #[arg(long, value_name = "N", default_value_t = 2000, env = "UNPROMPT_TEST")]
    pub(crate) test: usize,

    /// Seed of everything: prompts, settings, names.
    #[arg(long, value_name = "N", default_value_t = 1, env = "UNPROMPT_SEED")]
    pub(crate) seed: u64,
}
