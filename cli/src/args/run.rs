//! What every command that trains takes.

use clap::Args;
use unprompt::matmul::Precision;
use unprompt::train::fit::FitOptions;

use super::flag;

/// Arguments of a training run.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Seed of the data, the networks and all else that is drawn by chance.
    #[arg(long, value_name = "N", default_value_t = 1, env = "UNPROMPT_SEED")]
    pub(crate) seed: u64,

    /// Take the images of a step in N pieces one after the other: less memory, and the same step but for rounding.
    #[arg(long, value_name = "N", default_value_t = 1, env = "UNPROMPT_ACCUMULATE",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    accumulate: u16,

    /// Go on from the folder's checkpoint.
    #[arg(long, env = "UNPROMPT_RESUME", value_parser = flag())]
    pub(crate) resume: bool,
}

impl RunArgs {
    /// Settings of a loop of this precision, all others as they are by default.
    pub(crate) fn fit(&self, precision: Precision) -> FitOptions {
        FitOptions {
            seed: self.seed,
            precision,
            accumulate: self.accumulate.into(),
            ..FitOptions::default()
        }
    }
}
