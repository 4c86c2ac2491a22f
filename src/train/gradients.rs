//! The gradients of several workers as one.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::error::Result;
use crate::nn::ops;

/// The weighted sum of the workers' gradients, variable by variable.
pub(super) fn combine(parts: &[(f64, Vec<Tensor>)]) -> Result<Vec<Tensor>> {
    let Some(((weight, first), rest)) = parts.split_first() else {
        return Ok(vec![]);
    };
    (0..first.len())
        .into_par_iter()
        .map(|at| {
            let Some(((second_weight, second), rest)) = rest.split_first() else {
                return Ok((&first[at] * *weight)?);
            };
            let mut sum = ops::weighted_sum(&first[at], *weight, &second[at], *second_weight)?;
            for (weight, part) in rest {
                sum = ops::weighted_sum(&sum, 1.0, &part[at], *weight)?;
            }
            Ok(sum)
        })
        .collect()
}

/// The joint length of all gradients.
pub(super) fn norm(gradients: &[Tensor]) -> Result<f64> {
    let squares: Vec<Tensor> = gradients
        .par_iter()
        // A single number has no dimensions, and candle would send them as memory of no bytes: older graphics processors
        // refuse that.
        .map(|gradient| Ok(gradient.flatten_all()?.sqr()?.sum_all()?))
        .collect::<Result<_>>()?;
    if squares.is_empty() {
        return Ok(0.0);
    }
    // Read at once, since a device is waited for at every reading; summed in order, so that runs of equal seeds are equal.
    let squares: Vec<f32> = Tensor::stack(&squares, 0)?.to_vec1()?;
    Ok(squares.into_iter().map(f64::from).sum::<f64>().sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::device;

    #[test]
    fn a_length_is_that_of_all_numbers_single_ones_too() {
        let single = Tensor::new(2f32, &device()).unwrap();
        let matrix = Tensor::new(&[[4f32, -5.0], [6.0, 0.0]], &device()).unwrap();
        assert_eq!(norm(&[single, matrix]).unwrap(), 9.0);
        assert_eq!(norm(&[]).unwrap(), 0.0);
    }
}
