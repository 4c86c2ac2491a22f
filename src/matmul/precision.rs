//! How precise the products of a thread are.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device, Tensor};

use super::mixed;

thread_local! {
    static OF_THREAD: Cell<Precision> = const { Cell::new(Precision::Full) };
}

/// How precise products of matrices are, the slowest first. Weights, sums and all else are `f32` either way; a graphics
/// processor rounds the result of a product, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// Factors as they are.
    #[default]
    Full,
    /// Factors rounded to bfloat16, sums in `f32` (Micikevicius et al., 2018; Kalamkar et al., 2019):
    /// at least twice as many products a second on processors with instructions for it, slow on others.
    Mixed,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 2] = [Self::Full, Self::Mixed];

    /// The fastest on a device: mixed on a processor that has instructions for it, and on graphics processors.
    pub fn fastest(device: &Device) -> Self {
        let fast = match device {
            Device::Cpu => mixed::is_fast(),
            other => multiplies_bf16(other).unwrap_or(false),
        };
        if fast { Self::Mixed } else { Self::Full }
    }

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Mixed => "mixed",
        }
    }

    /// What the thread's products are at the moment.
    pub(crate) fn of_thread() -> Self {
        OF_THREAD.get()
    }

    /// Runs `work` with products of this precision, on this thread: PyTorch's `autocast`.
    pub(crate) fn within<R>(self, work: impl FnOnce() -> R) -> R {
        struct Restore(Precision);
        impl Drop for Restore {
            fn drop(&mut self) {
                OF_THREAD.set(self.0);
            }
        }
        let _restore = Restore(OF_THREAD.replace(self));
        work()
    }
}

/// Whether a graphics processor does, which is told by trying: those of Nvidia before Ampere have no instructions for it.
fn multiplies_bf16(device: &Device) -> candle_core::Result<bool> {
    let ones = Tensor::ones((16, 16), DType::F32, device)?.to_dtype(DType::BF16)?;
    let sum: f32 = ones
        .matmul(&ones)?
        .to_dtype(DType::F32)?
        .sum_all()?
        .to_scalar()?;
    Ok(sum == 16f32.powi(3))
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|it| it.name() == name);
        found.ok_or_else(|| format!("{name} is no precision: full or mixed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_ends_with_the_work_even_if_it_panics() {
        Precision::Mixed.within(|| {
            Precision::Full.within(|| assert_eq!(Precision::of_thread(), Precision::Full));
            assert_eq!(Precision::of_thread(), Precision::Mixed);
        });
        let panicked =
            std::panic::catch_unwind(|| Precision::Mixed.within(|| panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(Precision::of_thread(), Precision::Full);
    }

    #[test]
    fn names_are_read_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert!("half".parse::<Precision>().is_err());
    }
}
