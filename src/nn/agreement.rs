//! Fused operations against the same function composed of candle's own, in tests.

use candle_core::{Result, Tensor, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::parity::device;

/// A variable of uniform values in [-2, 2).
pub(crate) fn random(shape: &[usize], seed: u64) -> Var {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| rng.random_range(-2.0..2.0)).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &device()).unwrap()).unwrap()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
    difference.max(0).unwrap().to_scalar().unwrap()
}

/// The largest absolute value, at least 1: what rounding errors are measured by.
fn size(x: &Tensor) -> f32 {
    largest_difference(x, &x.zeros_like().unwrap()).max(1.0)
}

/// Asserts that value and gradients of both are the same.
pub(crate) fn agrees(
    vars: &[Var],
    ours: impl Fn(&[Var]) -> Result<Tensor>,
    composed: impl Fn(&[Var]) -> Result<Tensor>,
) {
    let (a, b) = (ours(vars).unwrap(), composed(vars).unwrap());
    assert!(largest_difference(&a, &b) < 2e-6 * size(&b));
    // An uneven weighting, so that no gradient cancels.
    let weights = random(a.dims(), 99);
    let loss = |y: &Tensor| (y * weights.as_tensor()).unwrap().sum_all().unwrap();
    let (ours, composed) = (loss(&a).backward().unwrap(), loss(&b).backward().unwrap());
    for var in vars {
        let (ours, composed) = (ours.get(var).unwrap(), composed.get(var).unwrap());
        assert!(largest_difference(ours, composed) < 1e-5 * size(composed));
    }
}
