//! How precise products of matrices are.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use unprompt::device::Device;
use unprompt::matmul::Precision;

/// A precision, or what is fastest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrecisionArg(Option<Precision>);

impl PrecisionArg {
    /// The precision on a device.
    pub(crate) fn on(self, device: &Device) -> Precision {
        self.0.unwrap_or_else(|| Precision::fastest(device))
    }

    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        let names = ["auto"]
            .into_iter()
            .chain(Precision::ALL.map(Precision::name));
        PossibleValuesParser::new(names)
            .map(|name| Self(Precision::ALL.into_iter().find(|it| it.name() == name)))
    }
}
