//! The kernels of [`scalar`] compiled once for each instruction set, and the choice among them.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use super::scalar;

/// Kernels compiled for one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    pub(super) dot: fn(&[f32], &[f32]) -> f32,
    pub(super) dot_i8: fn(&[i8], &[i8]) -> i32,
}

/// The best kernels for this processor.
pub(super) static BEST: LazyLock<Kernels> = LazyLock::new(|| kernels()[0].1);

/// Every set of kernels that this processor can run, best first.
pub(super) fn kernels() -> Vec<(&'static str, Kernels)> {
    let mut kernels: Vec<(&'static str, Kernels)> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("fma")
        {
            kernels.push(("avx512", avx512::KERNELS));
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            kernels.push(("avx2", avx2::KERNELS));
        }
    }
    // NEON belongs to every aarch64, so the plain build uses it, fused multiply-add included.
    let plain = Kernels {
        dot: scalar::dot::<{ cfg!(target_arch = "aarch64") }>,
        dot_i8: scalar::dot_i8,
    };
    kernels.push(("plain", plain));
    kernels
}

/// The kernels for an instruction set of x86_64 as a module of that name.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled_for {
    ($set:ident, $features:literal) => {
        mod $set {
            use super::{Kernels, scalar};

            pub(super) const KERNELS: Kernels = Kernels {
                // SAFETY: `kernels` gives these out only where the processor has the features.
                dot: |a, b| unsafe { dot(a, b) },
                // SAFETY: as above.
                dot_i8: |a, b| unsafe { dot_i8(a, b) },
            };

            #[target_feature(enable = $features)]
            fn dot(a: &[f32], b: &[f32]) -> f32 {
                scalar::dot::<true>(a, b)
            }

            #[target_feature(enable = $features)]
            fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
                scalar::dot_i8(a, b)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled_for!(avx512, "avx512f,avx512bw,fma");
#[cfg(target_arch = "x86_64")]
compiled_for!(avx2, "avx2,fma");

/// Asks for the cache lines of `row`, which will be read soon.
#[inline]
pub(super) fn prefetch<T>(row: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        for line in row.chunks((64 / size_of::<T>()).max(1)) {
            // SAFETY: SSE belongs to every x86_64, and prefetching has no effect but on caches;
            // the address is that of a live slice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}
