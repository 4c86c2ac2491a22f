//! Loops over rows of `f32` that the compiler vectorises for the processor at hand.
//!
//! candle's own steps are not used where time counts: it spreads each over one pool that all threads
//! share, and takes `exp` and `erf` number by number. What runs inside [`vectorised`] is compiled once
//! for each width of vectors, and the widest that the processor has is chosen at run time.

/// So many numbers are folded side by side.
const LANES: usize = 16;

/// Runs `work` with the widest vector instructions of this processor. A closure and functions that it calls
/// take part only if they are `#[inline(always)]`: without it, larger ones stay on their own, compiled for any
/// processor.
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// The sum of a row.
#[inline(always)]
pub(crate) fn sum(row: &[f32]) -> f32 {
    fold(row, 0.0, |x| x, |a, b| a + b)
}

/// The sum of what `of` makes of a row's numbers.
#[inline(always)]
pub(crate) fn sum_of(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    fold(row, 0.0, of, |a, b| a + b)
}

/// The largest number of a row; negative infinity if it is empty.
#[inline(always)]
pub(crate) fn largest(row: &[f32]) -> f32 {
    fold(
        row,
        f32::NEG_INFINITY,
        |x| x,
        |a, b| if a > b { a } else { b },
    )
}

/// The dot product of two rows of equal length.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The dot product of two rows of equal length, in double precision.
#[inline(always)]
pub(crate) fn dot_in_double(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0f64; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rests = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f64 = rests.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f64::from(*a) * f64::from(*b);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Folds a row in [`LANES`] interleaved parts, which the compiler may not do by itself with floats.
#[inline(always)]
fn fold(row: &[f32], start: f32, of: impl Fn(f32) -> f32, with: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = with(*lane, of(x));
        }
    }
    let folded = lanes.into_iter().fold(start, &with);
    rest.iter().fold(folded, |folded, &x| with(folded, of(x)))
}

/// `e^x` to a relative error of 3e-7, without branches; arguments count as within [-87, 88].
///
/// Cephes' `expf`: `x = n ln 2 + r`, and a polynomial in `r`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 1.5 * 2^23: adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first of few bits so that its products are exact.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits() - 127) << 23);
    (p * r * r + r + 1.0) * power
}

/// The Gaussian error linear unit, exact: `x * P(N(0, 1) < x)` (Hendrycks & Gimpel 2016).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    x * normal_share(x)
}

/// `P(N(0, 1) < x)`.
#[inline(always)]
pub(crate) fn normal_share(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function, within 3e-7: a quotient of polynomials fitted by the authors of XLA
/// (`ErfImpl32` in xla/hlo/builder/lib/math.cc), beyond whose range the result is 1 in f32.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-3.743_921, 3.743_921);
    let w = x * x;
    let mut p = 2.290_506_6e-4;
    p = p * w + 3.408_291e-3;
    p = p * w + 5.095_569_5e-2;
    p = p * w + 1.852_083_2e-1;
    p = p * w + std::f32::consts::FRAC_2_SQRT_PI;
    let mut q = -1.179_160_3e-7;
    q = q * w + 2.354_796_6e-5;
    q = q * w + 1.017_962_5e-3;
    q = q * w + 1.407_047_e-2;
    q = q * w + 1.109_850_5e-1;
    q = q * w + 4.974_692_5e-1;
    q = q * w + 1.0;
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_its_bound() {
        let mut worst = 0f64;
        for step in -86_000..88_000 {
            let x = step as f32 / 1000.0;
            let expected = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - expected).abs() / expected);
        }
        assert!(worst < 3e-7, "{worst:e}");
        assert_eq!(exp(f32::NEG_INFINITY), exp(-87.0));
    }

    #[test]
    fn folds_agree_with_plain_loops_at_every_length() {
        for length in 0..70 {
            let a: Vec<f32> = (0..length).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..length).map(|i| (i as f32 * 1.3).cos()).collect();
            let close = |x: f32, y: f64| assert!((f64::from(x) - y).abs() < 1e-5, "{x} {y}");
            let (wide_a, wide_b) = (
                a.iter().map(|&x| f64::from(x)),
                b.iter().map(|&x| f64::from(x)),
            );
            close(
                vectorised(
                    #[inline(always)]
                    || sum(&a),
                ),
                wide_a.clone().sum(),
            );
            close(
                vectorised(
                    #[inline(always)]
                    || sum_of(&a, |x| x * x),
                ),
                wide_a.clone().map(|x| x * x).sum(),
            );
            close(
                vectorised(
                    #[inline(always)]
                    || dot(&a, &b),
                ),
                wide_a.zip(wide_b).map(|(x, y)| x * y).sum(),
            );
            let both = || a.iter().zip(&b);
            let exact: f64 = both().map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            assert!(
                (vectorised(
                    #[inline(always)]
                    || dot_in_double(&a, &b)
                ) - exact)
                    .abs()
                    < 1e-12
            );
            assert_eq!(
                largest(&a),
                a.iter().copied().fold(f32::NEG_INFINITY, f32::max)
            );
        }
    }
}
