//! Random numbers from seeded generators: equal seeds give equal numbers on every machine.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A standard normal number, by the method of Box and Muller.
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (rng.random::<f64>() * std::f64::consts::TAU).cos()
}

/// So many standard normal numbers.
pub(crate) fn normals(rng: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| normal(rng) as f32).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn moments_are_those_of_the_normal_distribution() {
        let numbers = normals(&mut ChaCha8Rng::seed_from_u64(4), 100_000);
        let moment = |power| {
            let sum: f64 = numbers.iter().map(|x| f64::from(*x).powi(power)).sum();
            sum / numbers.len() as f64
        };
        for (power, expected) in [(1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)] {
            assert!(
                (moment(power) - expected).abs() < 0.1,
                "{power}: {}",
                moment(power)
            );
        }
    }
}
