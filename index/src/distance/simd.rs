//! [`scalar::dot`](super::scalar::dot) compiled once for each instruction set, and the choice
//! among them.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use super::scalar;

/// A kernel for the dot product.
pub(super) type Dot = fn(&[f32], &[f32]) -> f32;

/// The best kernel for this processor.
pub(super) static DOT: LazyLock<Dot> = LazyLock::new(|| kernels()[0].1);

/// Every kernel that this processor can run, best first.
pub(super) fn kernels() -> Vec<(&'static str, Dot)> {
    let mut kernels: Vec<(&'static str, Dot)> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
            kernels.push(("avx512f", avx512));
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            kernels.push(("avx2", avx2));
        }
    }
    // NEON belongs to every aarch64, so the plain build uses it, fused multiply-add included.
    kernels.push(("plain", scalar::dot::<{ cfg!(target_arch = "aarch64") }>));
    kernels
}

#[cfg(target_arch = "x86_64")]
fn avx512(a: &[f32], b: &[f32]) -> f32 {
    #[target_feature(enable = "avx512f,fma")]
    fn inner(a: &[f32], b: &[f32]) -> f32 {
        scalar::dot::<true>(a, b)
    }
    // SAFETY: `kernels` gives this function out only where the processor has both features.
    unsafe { inner(a, b) }
}

#[cfg(target_arch = "x86_64")]
fn avx2(a: &[f32], b: &[f32]) -> f32 {
    #[target_feature(enable = "avx2,fma")]
    fn inner(a: &[f32], b: &[f32]) -> f32 {
        scalar::dot::<true>(a, b)
    }
    // SAFETY: `kernels` gives this function out only where the processor has both features.
    unsafe { inner(a, b) }
}

/// Asks for the cache lines of `row`, which will be read soon.
#[inline]
pub(super) fn prefetch(row: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        for line in row.chunks(16) {
            // SAFETY: SSE belongs to every x86_64, and prefetching has no effect but on caches;
            // the address is that of a live slice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}
