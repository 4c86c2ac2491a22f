//! Conditional logit: what each number that describes an option counts in a choice.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// Options, each described by `N` numbers, and the place of the one that was chosen.
pub(super) type Choice<const N: usize> = (Vec<[f64; N]>, usize);

/// The penalty on squared weights, for all choices together: it decides only what the choices leave open.
const PENALTY: f64 = 1e-4;

/// Newton's method needs about ten steps.
const STEPS: usize = 50;

/// Weights that make the choices likeliest, where an option is chosen with a probability in proportion to the
/// exponential of the weighted sum of its numbers (McFadden, 1974). Zeros without choices.
///
/// # Panics
/// If a place is beyond the options.
pub(super) fn fit<const N: usize>(choices: &[Choice<N>]) -> [f64; N] {
    let mut weights = [0.0; N];
    let mut likelihood = log_likelihood(choices, &weights);
    for _ in 0..STEPS {
        let Some(step) = newton_step(choices, &weights) else {
            break;
        };
        // A whole step may go too far at first.
        let halves = (0..30).map(|halves| 0.5f64.powi(halves));
        let better = halves
            .map(|size| std::array::from_fn(|at| weights[at] + size * step[at]))
            .map(|tried: [f64; N]| (log_likelihood(choices, &tried), tried))
            .find(|(tried, _)| *tried > likelihood);
        let Some((next, tried)) = better else {
            break;
        };
        (likelihood, weights) = (next, tried);
    }
    weights
}

/// The probability of each option.
pub(super) fn probabilities<const N: usize>(options: &[[f64; N]], weights: &[f64; N]) -> Vec<f64> {
    let mut shares: Vec<f64> = options.iter().map(|it| product(it, weights)).collect();
    let most = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for share in &mut shares {
        *share = (*share - most).exp();
    }
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

/// The weighted sum of an option's numbers.
pub(super) fn product<const N: usize>(option: &[f64; N], weights: &[f64; N]) -> f64 {
    option.iter().zip(weights).map(|(a, b)| a * b).sum()
}

fn log_likelihood<const N: usize>(choices: &[Choice<N>], weights: &[f64; N]) -> f64 {
    let of = |(options, chosen): &Choice<N>| {
        let worths: Vec<f64> = options.iter().map(|it| product(it, weights)).collect();
        let most = worths.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = worths.iter().map(|worth| (worth - most).exp()).sum();
        worths[*chosen] - most - sum.ln()
    };
    choices.iter().map(of).sum::<f64>() - PENALTY / 2.0 * product(weights, weights)
}

/// Where the second-order expansion of the log-likelihood has its maximum, from `weights`.
fn newton_step<const N: usize>(choices: &[Choice<N>], weights: &[f64; N]) -> Option<[f64; N]> {
    let mut gradient = Mat::from_fn(N, 1, |at, _| -PENALTY * weights[at]);
    let mut curvature = Mat::from_fn(N, N, |a, b| if a == b { PENALTY } else { 0.0 });
    for (options, chosen) in choices {
        let shares = probabilities(options, weights);
        let mean: [f64; N] = std::array::from_fn(|at| {
            let parts = options.iter().zip(&shares);
            parts.map(|(option, share)| share * option[at]).sum()
        });
        for a in 0..N {
            gradient[(a, 0)] += options[*chosen][a] - mean[a];
            for b in 0..N {
                let parts = options.iter().zip(&shares);
                let products =
                    parts.map(|(it, share)| share * (it[a] - mean[a]) * (it[b] - mean[b]));
                curvature[(a, b)] += products.sum::<f64>();
            }
        }
    }
    let step = curvature.llt(Side::Lower).ok()?.solve(&gradient);
    Some(std::array::from_fn(|at| step[(at, 0)]))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn finds_the_weights_that_choices_were_made_by() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let truth = [4.0, -1.5, 0.0];
        let choices: Vec<Choice<3>> = (0..4000)
            .map(|_| {
                let option = |_| std::array::from_fn(|_| rng.random_range(-1.0..1.0));
                let options: Vec<[f64; 3]> = (0..6).map(option).collect();
                let mut left = rng.random_range(0.0..1.0);
                let shares = probabilities(&options, &truth);
                let chosen = shares.iter().position(|share| {
                    left -= share;
                    left < 0.0
                });
                (options, chosen.unwrap_or(5))
            })
            .collect();
        for (found, truth) in fit(&choices).iter().zip(truth) {
            assert!((found - truth).abs() < 0.15, "{found} {truth}");
        }
    }

    #[test]
    fn what_no_choice_depends_on_counts_nothing() {
        assert_eq!(fit::<2>(&[]), [0.0; 2]);
        let same = [
            (vec![[1.0, 3.0], [2.0, 3.0]], 0),
            (vec![[1.0, 3.0], [2.0, 3.0]], 1),
        ];
        let weights = fit(&same);
        assert!(
            weights.iter().all(|weight| weight.abs() < 1e-6),
            "{weights:?}"
        );
        // Choices without any doubt leave the weights finite.
        let certain = fit(&[(vec![[1.0], [0.0]], 0)]);
        assert!(certain[0] > 3.0 && certain[0].is_finite(), "{certain:?}");
    }
}
