//! The dot product of vectors of f32, which for unit vectors is the cosine, and of i8.

mod scalar;
mod simd;

/// Sum of `a[i] * b[i]` in f32, by the best kernel of this processor.
///
/// The two slices must have one length. The error against exact arithmetic is at most
/// `(n / 64 + 8) * 2^-24 * sum(|a[i] * b[i]|)`, so about 1e-6 for unit vectors of 384 numbers.
#[inline]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    (simd::BEST.dot)(a, b)
}

/// Sum of `a[i] * b[i]` in i32, which holds that of 2^17 numbers; exact.
///
/// The two slices must have one length.
#[inline]
pub(crate) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    debug_assert_eq!(a.len(), b.len());
    (simd::BEST.dot_i8)(a, b)
}

/// As [`dot_i8`], of `query` with some rows of a table, each as long as it is, into `dots`, which
/// has a place for each of them. Whether all these rows are there; if not, `dots` is of no use.
#[inline]
pub(crate) fn dots_i8(query: &[i8], table: &[i8], rows: &[u32], dots: &mut [i32]) -> bool {
    debug_assert_eq!(rows.len(), dots.len());
    (simd::BEST.dots_i8)(query, table, rows, dots)
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
            for (name, simd::Kernels { dot, .. }) in simd::kernels() {
                let error = (dot(&a, &b) as f64 - exact).abs();
                let bound = bound(&a, &b);
                prop_assert!(error <= bound, "{}: off by {}, bound {}", name, error, bound);
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
    fn bytes_are_exact_up_to_the_longest_vectors() {
        for len in [0, 1, 31, 384, 777, 1 << 16] {
            let a: Vec<i8> = (0..len).map(|i| (i * 7 % 255 - 127) as i8).collect();
            let b: Vec<i8> = (0..len).map(|i| (i * 11 % 255 - 127) as i8).collect();
            let exact: i64 = a.iter().zip(&b).map(|(x, y)| *x as i64 * *y as i64).sum();
            let largest = vec![-127; a.len()];
            // Only in a damaged file.
            let least = vec![i8::MIN; a.len()];
            for (
                name,
                simd::Kernels {
                    dot_i8, dots_i8, ..
                },
            ) in simd::kernels()
            {
                assert_eq!(dot_i8(&a, &b) as i64, exact, "{name}, {len}");
                let table = [a.as_slice(), &b, &a].concat();
                let mut dots = [0; 2];
                assert!(dots_i8(&a, &table, &[1, 1], &mut dots));
                assert_eq!(dots.map(i64::from), [exact; 2], "{name}, {len}");
                let absent = dots_i8(&a, &table, &[0, 3], &mut dots);
                assert_eq!(absent, len == 0, "{name}, {len}");
                assert_eq!(dots_i8(&a, &table, &[u32::MAX, 0], &mut dots), len == 0);
                assert_eq!(dot_i8(&largest, &largest), 127 * 127 * len, "{name}, {len}");
                assert_eq!(dot_i8(&least, &largest), 128 * 127 * len, "{name}, {len}");
                assert_eq!(dot_i8(&least, &least), 128 * 128 * len, "{name}, {len}");
            }
            assert_eq!(dot_i8(&a, &b) as i64, exact);
        }
    }
}
