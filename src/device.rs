//! The processor that a model runs on, as a user names it: `auto`, `cpu`, `cuda`, `cuda:N`, `metal`.
//!
//! A name becomes a candle `Device` only in [`DeviceChoice::open`], so that a wrong name is found when
//! the command line is read and a missing driver when the model is loaded.

use std::fmt;
use std::str::FromStr;

pub use candle_core::Device;

use rayon::prelude::*;

use crate::error::{Error, Result};

/// What `work` makes of all items, `batch` at a time. The layers of a network run on the thread that calls them, so that
/// on a CPU each takes a piece of the batch.
///
/// # Errors
/// What `work` reports.
pub(crate) fn in_pieces<I: Sync, O: Send>(
    items: &[I],
    batch: usize,
    device: &Device,
    work: impl Fn(&[I]) -> Result<Vec<O>> + Sync,
) -> Result<Vec<O>> {
    let threads = match device {
        Device::Cpu => rayon::current_num_threads(),
        _ => 1,
    };
    let mut done = Vec::with_capacity(items.len());
    for batch in items.chunks(batch) {
        let pieces = batch.par_chunks(batch.len().div_ceil(threads));
        let pieces = pieces.map(&work).collect::<Result<Vec<_>>>()?;
        done.extend(pieces.into_iter().flatten());
    }
    Ok(done)
}

/// A device as it is asked for.
///
/// ```
/// use unprompt::device::DeviceChoice;
///
/// let choice: DeviceChoice = "cuda:1".parse()?;
/// assert_eq!(choice, DeviceChoice::Cuda(1));
/// assert_eq!(choice.to_string(), "cuda:1");
/// assert!(DeviceChoice::Cpu.open()?.is_cpu());
/// # Ok::<(), unprompt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// The first graphics processor that the build supports and the machine has, else the CPU.
    #[default]
    Auto,
    /// The processor itself.
    Cpu,
    /// An Nvidia graphics processor, by its number from 0.
    Cuda(usize),
    /// Apple's graphics processor.
    Metal,
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceFeature`] if the build lacks the device's code, [`Error::DeviceOpen`] if the
    /// machine lacks the device. `auto` and `cpu` always open.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(Self::open_any()),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(self.without("cuda")),
            Self::Metal if !cfg!(feature = "metal") => Err(self.without("metal")),
            Self::Cuda(ordinal) => Device::new_cuda(ordinal).map_err(|source| self.failed(source)),
            Self::Metal => Device::new_metal(0).map_err(|source| self.failed(source)),
        }
    }

    fn open_any() -> Device {
        for choice in [Self::Cuda(0), Self::Metal] {
            match choice.open() {
                Ok(device) => return device,
                Err(Error::DeviceFeature { .. }) => {}
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::info!(%error, cause, "using the cpu instead");
                }
            }
        }
        Device::Cpu
    }

    fn without(self, feature: &'static str) -> Error {
        Error::DeviceFeature {
            device: self.to_string(),
            feature,
        }
    }

    fn failed(self, source: candle_core::Error) -> Error {
        Error::DeviceOpen {
            device: self.to_string(),
            source,
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::DeviceName {
            given: text.to_owned(),
        };
        let name = text.trim().to_ascii_lowercase();
        match name.as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            other => {
                let ordinal = other.strip_prefix("cuda:").ok_or_else(unknown)?;
                ordinal.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for name in ["auto", "cpu", "cuda:0", "cuda:7", "metal"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        assert_eq!(
            " CUDA ".parse::<DeviceChoice>().unwrap(),
            DeviceChoice::Cuda(0)
        );
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "gpu",
            "cuda:",
            "cuda:-1",
            "cuda:x",
            "cuda:99999999999999999999",
            "cpu:0",
        ] {
            let error = name.parse::<DeviceChoice>().unwrap_err();
            assert!(
                matches!(error, Error::DeviceName { ref given } if given == name),
                "{error}"
            );
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_was_not_built_in_says_how_to_get_it() {
        let error = DeviceChoice::Cuda(0).open().unwrap_err();
        assert!(error.to_string().contains("--features cuda"), "{error}");
    }

    #[test]
    fn auto_always_opens() {
        assert!(DeviceChoice::Auto.open().is_ok());
    }
}
