//! The dot product of vectors of f32, which for unit vectors is the cosine, of f16 with f32, and of
//! numbers of 8 bits with packed ones of 4 bits.

mod scalar;
mod simd;

use half::f16;

/// Sum of `a[i] * b[i]` in f32, by the best kernel of this processor.
///
/// The two slices must have one length. The error against exact arithmetic is at most
/// `(n / 64 + 8) * 2^-24 * sum(|a[i] * b[i]|)`, so about 1e-6 for unit vectors of 384 numbers.
#[inline]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    (simd::BEST.dot)(a, b)
}

/// As [`dot`], of a vector of f16, every number of which f32 has as well, with one of f32.
#[inline]
pub(crate) fn dot_f16(a: &[f16], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    (simd::BEST.dot_f16)(a, b)
}

/// Numbers of f16 as f32, which has each of them, into a slice of the same length.
#[inline]
pub(crate) fn widen(numbers: &[f16], wide: &mut [f32]) {
    debug_assert_eq!(numbers.len(), wide.len());
    (simd::BEST.widen)(numbers, wide);
}

/// Bytes in which the numbers of 4 bits are packed that a kernel takes at once.
pub(crate) const PACKED: usize = 64;

/// The dot products of `query` with some rows of a table of numbers from 0 to 15, into `dots`, which
/// has a place for each of them; exact. Whether all these rows are there; if not, `dots` is of no
/// use.
///
/// `query` has at most 2^17 numbers, a multiple of `2 * PACKED`, and a row half as many bytes. In
/// each [`PACKED`] bytes of a row, their lower halves come before their upper halves.
#[inline]
pub(crate) fn dots_u4(query: &[i8], table: &[u8], rows: &[u32], dots: &mut [i32]) -> bool {
    debug_assert_eq!(rows.len(), dots.len());
    debug_assert!(query.len().is_multiple_of(2 * PACKED));
    (simd::BEST.dots_u4)(query, table, rows, dots)
}

/// Asks for the cache lines of `row`, which will be read soon.
#[inline]
pub(crate) fn prefetch<T>(row: &[T]) {
    simd::prefetch(row);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each product is rounded once and then takes part in at most n / LANES + 1 additions of
    /// its lane and log2(LANES) of the final tree (Higham, Accuracy and Stability, s. 4.2).
    fn bound(a: &[f32], b: &[f32]) -> f64 {
        let magnitude: f64 = a
            .iter()
            .zip(b)
            .map(|(x, y)| (*x as f64 * *y as f64).abs())
            .sum();
        let roundings = a.len() / scalar::LANES + 2 + scalar::LANES.ilog2() as usize;
        roundings as f64 * 2f64.powi(-24) * magnitude * 1.01
    }

    proptest! {
        #[test]
        fn every_kernel_is_within_the_bound_of_f64(
            pairs in prop::collection::vec((-100f32..100.0, -100f32..100.0), 0..1500)
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let exact: f64 = a.iter().zip(&b).map(|(x, y)| *x as f64 * *y as f64).sum();
            let halves: Vec<f16> = a.iter().map(|x| f16::from_f32(*x)).collect();
            let rounded: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
            for (name, simd::Kernels { dot, dot_f16, .. }) in simd::kernels() {
                let error = (dot(&a, &b) as f64 - exact).abs();
                let bound = bound(&a, &b);
                prop_assert!(error <= bound, "{}: off by {}, bound {}", name, error, bound);
                prop_assert_eq!(dot_f16(&halves, &b), dot(&rounded, &b), "{}", name);
            }
        }
    }

    #[test]
    fn every_number_of_16_bits_is_itself() {
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        // One more than whole blocks.
        let all: Vec<f16> = [&all[..], &[f16::ONE]].concat();
        for (name, simd::Kernels { dot_f16, widen, .. }) in simd::kernels() {
            let mut wide = vec![0.0; all.len()];
            widen(&all, &mut wide);
            for (number, wide) in all.iter().zip(wide) {
                let dot = dot_f16(&[*number], &[1.0]);
                let exact = number.to_f32();
                let same = |found: f32| found == exact || found.is_nan() && exact.is_nan();
                assert!(same(wide) && same(dot), "{name}: {number} {wide} {dot}");
            }
        }
    }

    #[test]
    fn small_whole_numbers_are_exact() {
        let a: Vec<f32> = (0..777).map(|i| (i % 7) as f32).collect();
        let b: Vec<f32> = (0..777).map(|i| (i % 5) as f32 - 2.0).collect();
        let exact: f32 = (0..777).map(|i| ((i % 7) * ((i % 5) - 2)) as f32).sum();
        for (name, simd::Kernels { dot, .. }) in simd::kernels() {
            assert_eq!(dot(&a, &b), exact, "{name}");
            assert_eq!(dot(&[], &[]), 0.0, "{name}");
        }
        assert_eq!(dot(&a, &b), exact);
    }

    #[test]
    fn packed_numbers_are_exact_up_to_the_longest_vectors() {
        for blocks in [0, 1, 3, 512] {
            let len = blocks * 2 * PACKED;
            let query: Vec<i8> = (0..len).map(|i| (i * 7 % 256) as u8 as i8).collect();
            let numbers: Vec<u8> = (0..len).map(|i| (i * 11 % 16) as u8).collect();
            let pack = |numbers: &[u8]| -> Vec<u8> {
                let blocks = numbers.chunks_exact(2 * PACKED);
                let packed = blocks.flat_map(|block| {
                    let (lower, upper) = block.split_at(PACKED);
                    lower.iter().zip(upper).map(|(l, u)| u << 4 | l)
                });
                packed.collect()
            };
            let (zeros, largest) = (vec![0; len], vec![15; len]);
            let table = [&zeros, &numbers, &largest].map(|row| pack(row)).concat();
            let least = vec![i8::MIN; len];
            let exact = |query: &[i8], row: &[u8]| -> i32 {
                let products = query.iter().zip(row).map(|(x, y)| *x as i32 * *y as i32);
                products.sum()
            };
            for (name, simd::Kernels { dots_u4, .. }) in simd::kernels() {
                for query in [&query, &least] {
                    let mut dots = [-1; 4];
                    assert!(dots_u4(query, &table, &[1, 0, 1, 2], &mut dots));
                    let wanted = [&numbers, &zeros, &numbers, &largest];
                    let wanted = wanted.map(|row| exact(query, row));
                    assert_eq!(dots, wanted, "{name}, {len}");
                    for absent in [3, u32::MAX] {
                        let there = dots_u4(query, &table, &[0, absent], &mut dots[..2]);
                        assert_eq!(there, len == 0, "{name}, {len}");
                    }
                }
            }
        }
    }
}
