//! The kernels of [`scalar`] compiled once for each instruction set, and the choice among them.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use super::scalar;

/// Of a query with some rows of a table; whether all these rows are there.
type Dots = fn(&[i8], &[i8], &[u32], &mut [i32]) -> bool;

/// Kernels compiled for one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    pub(super) dot: fn(&[f32], &[f32]) -> f32,
    pub(super) dot_i8: fn(&[i8], &[i8]) -> i32,
    pub(super) dots_i8: Dots,
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
            if is_x86_feature_detected!("avx512vnni") {
                kernels.push(("vnni", vnni::KERNELS));
            }
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
        dots_i8: |query, table, rows, dots| {
            scalar::dots_i8(query, table, rows, dots, scalar::dot_i8, prefetch)
        },
    };
    kernels.push(("plain", plain));
    kernels
}

/// The kernels for an instruction set of x86_64 as a module of that name.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled_for {
    ($set:ident, $features:literal, $bytes:path) => {
        mod $set {
            use super::{Kernels, prefetch, scalar};

            pub(super) const KERNELS: Kernels = Kernels {
                // SAFETY: `kernels` gives these out only where the processor has the features.
                dot: |a, b| unsafe { dot(a, b) },
                // SAFETY: as above.
                dot_i8: |a, b| unsafe { dot_i8(a, b) },
                // SAFETY: as above.
                dots_i8: |query, table, rows, dots| unsafe { dots_i8(query, table, rows, dots) },
            };

            #[target_feature(enable = $features)]
            fn dot(a: &[f32], b: &[f32]) -> f32 {
                scalar::dot::<true>(a, b)
            }

            #[target_feature(enable = $features)]
            fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
                $bytes(a, b)
            }

            #[target_feature(enable = $features)]
            fn dots_i8(query: &[i8], table: &[i8], rows: &[u32], dots: &mut [i32]) -> bool {
                scalar::dots_i8(query, table, rows, dots, |a, b| $bytes(a, b), prefetch)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled_for!(vnni, "avx512f,avx512bw,avx512vnni,fma", super::dot_vnni);
#[cfg(target_arch = "x86_64")]
compiled_for!(avx512, "avx512f,avx512bw,fma", scalar::dot_i8);
#[cfg(target_arch = "x86_64")]
compiled_for!(avx2, "avx2,fma", scalar::dot_i8);

/// The dot product of two slices of one length by an instruction that multiplies and adds four pairs
/// of bytes at once, those of `a` without a sign: 128 is added to them, and what that adds to the
/// sum is taken off again. Whatever overflows on the way, the sum is right, since it fits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn dot_vnni(a: &[i8], b: &[i8]) -> i32 {
    use std::arch::x86_64::*;
    const WIDTH: usize = 64;
    let offset = _mm512_set1_epi8(i8::MIN);
    let (mut sum, mut extra) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let mut add = |a, b| {
        sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(a, offset), b);
        extra = _mm512_dpbusd_epi32(extra, offset, b);
    };
    let (a_chunks, a_rest) = a.as_chunks::<WIDTH>();
    let (b_chunks, b_rest) = b.as_chunks::<WIDTH>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        // SAFETY: both arrays have as many bytes as are read.
        let (a, b) = unsafe { (_mm512_loadu_epi8(a.as_ptr()), _mm512_loadu_epi8(b.as_ptr())) };
        add(a, b);
    }
    if !a_rest.is_empty() {
        let mask = (1 << a_rest.len().min(b_rest.len())) - 1;
        // SAFETY: only the bytes of the mask are read, which are no more than either slice has.
        let (a, b) = unsafe {
            (
                _mm512_maskz_loadu_epi8(mask, a_rest.as_ptr()),
                _mm512_maskz_loadu_epi8(mask, b_rest.as_ptr()),
            )
        };
        add(a, b);
    }
    _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, extra))
}

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
