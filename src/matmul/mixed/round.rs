//! Numbers rounded to bfloat16, two by two.
//!
//! Two neighbours along the inner dimension make a *pair*: 32 bits, the first in the lower half. The
//! processor's instruction takes subnormal numbers as zero, the portable functions keep them.

/// How rows become pairs on this processor.
#[derive(Clone, Copy)]
pub(super) struct Rounding {
    /// The pairs of numbers that lie side by side in a row; the last one is filled up with zero.
    pub(super) along: fn(&[f32], &mut [u32]),
    /// The pairs of numbers that lie below each other in two rows.
    pub(super) across: fn(&[f32], &[f32], &mut [u32]),
}

impl Rounding {
    /// The fastest there is.
    pub(super) fn fastest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if super::is_fast() {
            return Self {
                along: avx512::along,
                across: avx512::across,
            };
        }
        Self { along, across }
    }
}

/// A number as bfloat16, rounded to the nearest, ties to even; in the lower half.
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() {
        // Quiet, so that no bit that is lost makes it a number.
        (bits >> 16) | 0x40
    } else {
        (bits + 0x7fff + ((bits >> 16) & 1)) >> 16
    }
}

fn pair(first: f32, second: f32) -> u32 {
    rounded(first) | (rounded(second) << 16)
}

fn along(from: &[f32], to: &mut [u32]) {
    for (to, from) in to.iter_mut().zip(from.chunks(2)) {
        *to = pair(from[0], from.get(1).copied().unwrap_or(0.0));
    }
}

fn across(first: &[f32], second: &[f32], to: &mut [u32]) {
    for ((to, first), second) in to.iter_mut().zip(first).zip(second) {
        *to = pair(*first, *second);
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx512 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh,
        _mm512_loadu_ps, _mm512_or_si512, _mm512_slli_epi32, _mm512_storeu_si512,
    };
    use std::mem::transmute;

    use super::super::is_fast;
    use super::super::pack::LANES;

    pub(super) fn along(from: &[f32], to: &mut [u32]) {
        assert!(is_fast());
        // SAFETY: the processor has the instructions, as just asked.
        unsafe { vectors_along(from, to) }
    }

    pub(super) fn across(first: &[f32], second: &[f32], to: &mut [u32]) {
        assert!(is_fast());
        // SAFETY: the processor has the instructions, as just asked.
        unsafe { vectors_across(first, second, to) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn vectors_along(from: &[f32], to: &mut [u32]) {
        let (from, rest) = from.as_chunks::<{ 2 * LANES }>();
        let (vectors, last) = to.split_at_mut(from.len() * LANES);
        for (to, from) in vectors.as_chunks_mut::<LANES>().0.iter_mut().zip(from) {
            // SAFETY: 32 numbers are read, 16 written; both types are 512 bits of any value.
            unsafe {
                let low = _mm512_loadu_ps(from.as_ptr());
                let high = _mm512_loadu_ps(from.as_ptr().add(LANES));
                let pairs: __m512i = transmute(_mm512_cvtne2ps_pbh(high, low));
                _mm512_storeu_si512(to.as_mut_ptr().cast(), pairs);
            }
        }
        super::along(rest, last);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn vectors_across(first: &[f32], second: &[f32], to: &mut [u32]) {
        let (first, first_rest) = first.as_chunks::<LANES>();
        let (second, second_rest) = second.as_chunks::<LANES>();
        let whole = first.len().min(second.len());
        let (vectors, last) = to.split_at_mut(whole * LANES);
        let vectors = vectors.as_chunks_mut::<LANES>().0;
        for ((to, first), second) in vectors.iter_mut().zip(first).zip(second) {
            // SAFETY: 16 numbers are read of each, 16 written; the types that change are of one size.
            unsafe {
                let low: __m256i = transmute(_mm512_cvtneps_pbh(_mm512_loadu_ps(first.as_ptr())));
                let high: __m256i = transmute(_mm512_cvtneps_pbh(_mm512_loadu_ps(second.as_ptr())));
                let (low, high) = (_mm512_cvtepu16_epi32(low), _mm512_cvtepu16_epi32(high));
                let pairs = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
                _mm512_storeu_si512(to.as_mut_ptr().cast(), pairs);
            }
        }
        super::across(first_rest, second_rest, last);
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    /// Numbers of all sizes, both signs, ties, infinities and what is no number.
    fn numbers() -> Vec<f32> {
        let patterns = (0..=u32::MAX).step_by(65_521 * 3);
        let ties = [
            0x3f80_8000,
            0x3f81_8000,
            0x7f7f_ffff,
            0x7fff_ffff,
            0xff80_0001,
        ];
        let all = patterns.chain(ties).map(f32::from_bits);
        // Instructions take what is subnormal as zero.
        all.filter(|x| !x.is_subnormal()).collect()
    }

    #[test]
    fn pairs_are_what_the_crate_half_makes_of_numbers() {
        let numbers = numbers();
        let reversed: Vec<f32> = numbers.iter().rev().copied().collect();
        let same = |half: u32, number: f32| {
            let (found, expected) = (bf16::from_bits(half as u16), bf16::from_f32(number));
            assert!(
                found == expected || (found.is_nan() && number.is_nan()),
                "{number}: {found}"
            );
        };
        for rounding in [Rounding::fastest(), Rounding { along, across }] {
            for length in [numbers.len(), 33, 16, 1] {
                let (first, second) = (&numbers[..length], &reversed[..length]);
                let mut pairs = vec![1; length];
                (rounding.across)(first, second, &mut pairs);
                for ((pair, first), second) in pairs.iter().zip(first).zip(second) {
                    same(pair & 0xffff, *first);
                    same(pair >> 16, *second);
                }
                let mut pairs = vec![1; length.div_ceil(2)];
                (rounding.along)(first, &mut pairs);
                for (pair, numbers) in pairs.iter().zip(first.chunks(2)) {
                    same(pair & 0xffff, numbers[0]);
                    same(pair >> 16, numbers.get(1).copied().unwrap_or(0.0));
                }
            }
        }
    }
}
