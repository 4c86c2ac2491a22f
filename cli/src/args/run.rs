//! What every command that trains takes.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use unprompt::device::Device;
use unprompt::train::fit::{FitOptions, Precision};

use super::flag;

/// Arguments of a training run.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Seed of the data, the networks and all else that is drawn by chance.
    #[arg(long, value_name = "N", default_value_t = 1, env = "UNPROMPT_SEED")]
    pub(crate) seed: u64,

    /// How precise products of matrices are on the processor: full is single precision, mixed rounds
    /// their factors to bfloat16; auto is mixed where the processor has instructions for it, without
    /// which it is slow. A run is gone on with as it began.
    #[arg(long, default_value = "auto", env = "UNPROMPT_PRECISION", value_parser = precision())]
    precision: PrecisionArg,

    /// Take the images of a step in N pieces one after the other: less memory, and the same step but for rounding.
    #[arg(long, value_name = "N", default_value_t = 1, env = "UNPROMPT_ACCUMULATE",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    accumulate: u16,

    /// Go on from the folder's checkpoint.
    #[arg(long, env = "UNPROMPT_RESUME", value_parser = flag())]
    pub(crate) resume: bool,
}

/// A precision, or what is fastest.
#[derive(Clone, Copy, Debug)]
struct PrecisionArg(Option<Precision>);

impl RunArgs {
    /// Settings of a loop on a device, all others as they are by default.
    pub(crate) fn fit(&self, device: &Device) -> FitOptions {
        let fastest = || Precision::fastest(device);
        FitOptions {
            seed: self.seed,
            precision: self.precision.0.unwrap_or_else(fastest),
            accumulate: self.accumulate.into(),
            ..FitOptions::default()
        }
    }
}

fn precision() -> impl TypedValueParser<Value = PrecisionArg> {
    let names = ["auto"]
        .into_iter()
        .chain(Precision::ALL.map(Precision::name));
    PossibleValuesParser::new(names)
        .map(|name| PrecisionArg(Precision::ALL.into_iter().find(|it| it.name() == name)))
}
