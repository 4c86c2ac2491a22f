//! The kernels of [`scalar`] compiled once for each instruction set, and the choice among them.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use half::f16;

use super::scalar::LANES;
use super::{PACKED, scalar};

/// Of a query with some rows of a table; whether all these rows are there.
type Dots = fn(&[i8], &[u8], &[u32], &mut [i32]) -> bool;

/// Kernels compiled for one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    pub(super) dot: fn(&[f32], &[f32]) -> f32,
    pub(super) dot_f16: fn(&[f16], &[f32]) -> f32,
    pub(super) widen: fn(&[f16], &mut [f32]),
    pub(super) dots_u4: Dots,
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
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            kernels.push(("avx2", avx2::KERNELS));
        }
    }
    // NEON belongs to every aarch64, so the plain build uses it, fused multiply-add included.
    const FUSED: bool = cfg!(target_arch = "aarch64");
    let plain = Kernels {
        dot: |a, b| scalar::dot::<FUSED, f32>(a, b, scalar::as_they_are),
        dot_f16: |a, b| scalar::dot::<FUSED, f16>(a, b, scalar::widened),
        widen: |numbers, wide| scalar::widen(numbers, wide, scalar::widened),
        dots_u4: |query, table, rows, dots| {
            scalar::dots_u4(query, table, rows, dots, scalar::dot_u4, prefetch)
        },
    };
    kernels.push(("plain", plain));
    kernels
}

/// The kernels for an instruction set of x86_64 as a module of that name.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled_for {
    ($set:ident, $features:literal, $widen:path, $packed:path) => {
        mod $set {
            use super::{Kernels, f16, prefetch, scalar};

            pub(super) const KERNELS: Kernels = Kernels {
                // SAFETY: `kernels` gives these out only where the processor has the features.
                dot: |a, b| unsafe { dot(a, b) },
                // SAFETY: as above.
                dot_f16: |a, b| unsafe { dot_f16(a, b) },
                // SAFETY: as above.
                widen: |numbers, wide| unsafe { widen(numbers, wide) },
                // SAFETY: as above.
                dots_u4: |query, table, rows, dots| unsafe { dots_u4(query, table, rows, dots) },
            };

            #[target_feature(enable = $features)]
            fn dot(a: &[f32], b: &[f32]) -> f32 {
                scalar::dot::<true, f32>(a, b, scalar::as_they_are)
            }

            #[target_feature(enable = $features)]
            fn dot_f16(a: &[f16], b: &[f32]) -> f32 {
                scalar::dot::<true, f16>(a, b, |a| $widen(a))
            }

            #[target_feature(enable = $features)]
            fn widen(numbers: &[f16], wide: &mut [f32]) {
                scalar::widen(numbers, wide, |numbers| $widen(numbers));
            }

            #[target_feature(enable = $features)]
            fn dots_u4(query: &[i8], table: &[u8], rows: &[u32], dots: &mut [i32]) -> bool {
                scalar::dots_u4(query, table, rows, dots, |a, b| $packed(a, b), prefetch)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled_for!(
    vnni,
    "avx512f,avx512bw,avx512vnni,fma",
    super::widened_avx512,
    super::dot_vnni
);
#[cfg(target_arch = "x86_64")]
compiled_for!(
    avx512,
    "avx512f,avx512bw,fma",
    super::widened_avx512,
    scalar::dot_u4
);
#[cfg(target_arch = "x86_64")]
compiled_for!(avx2, "avx2,fma,f16c", super::widened_f16c, scalar::dot_u4);

/// As [`scalar::widened`], 16 numbers at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
fn widened_avx512(numbers: &[f16; LANES]) -> [f32; LANES] {
    use std::arch::x86_64::*;
    let mut wide = [0.0; LANES];
    let (chunks, _) = numbers.as_chunks::<16>();
    let (places, _) = wide.as_chunks_mut::<16>();
    for (chunk, place) in chunks.iter().zip(places) {
        // SAFETY: the arrays have 16 numbers, of 2 and of 4 bytes.
        unsafe {
            let chunk = _mm256_loadu_si256(chunk.as_ptr().cast());
            _mm512_storeu_ps(place.as_mut_ptr(), _mm512_cvtph_ps(chunk));
        }
    }
    wide
}

/// As [`scalar::widened`], eight numbers at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
#[inline]
fn widened_f16c(numbers: &[f16; LANES]) -> [f32; LANES] {
    use std::arch::x86_64::*;
    let mut wide = [0.0; LANES];
    let (chunks, _) = numbers.as_chunks::<8>();
    let (places, _) = wide.as_chunks_mut::<8>();
    for (chunk, place) in chunks.iter().zip(places) {
        // SAFETY: the arrays have eight numbers, of 2 and of 4 bytes.
        unsafe {
            let chunk = _mm_loadu_si128(chunk.as_ptr().cast());
            _mm256_storeu_ps(place.as_mut_ptr(), _mm256_cvtph_ps(chunk));
        }
    }
    wide
}

/// As [`scalar::dot_u4`], by an instruction that multiplies and adds four pairs of bytes at once,
/// those of the one operand without a sign.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn dot_vnni(packed: &[u8], query: &[i8]) -> i32 {
    use std::arch::x86_64::*;
    let mask = _mm512_set1_epi8(15);
    // Two sums, so that no addition waits for the one before it.
    let mut sums = [_mm512_setzero_si512(); 2];
    let (packed, _) = packed.as_chunks::<PACKED>();
    let (query, _) = query.as_chunks::<{ 2 * PACKED }>();
    for (packed, query) in packed.iter().zip(query) {
        // SAFETY: the arrays have 64 and 128 bytes.
        let (packed, x, y) = unsafe {
            (
                _mm512_loadu_epi8(packed.as_ptr().cast()),
                _mm512_loadu_epi8(query.as_ptr()),
                _mm512_loadu_epi8(query.as_ptr().add(PACKED)),
            )
        };
        let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(packed), mask);
        sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_and_si512(packed, mask), x);
        sums[1] = _mm512_dpbusd_epi32(sums[1], upper, y);
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
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
