//! A text's vector from those of its tokens: their mean (Reimers & Gurevych 2019, s. 3), then scaled to
//! unit length. In: (batch, tokens, dim) and which tokens are real; out: (batch, dim), unit rows.

use candle_core::{D, Result, Tensor};

/// Below this a vector counts as zero and is not scaled up, as in torch's `normalize`.
const MIN_NORM: f64 = 1e-12;

/// The mean over each text's real tokens. `states` is (batch, tokens, dim), `mask` is (batch, tokens)
/// with 1 where a token is real and 0 where it pads; out is (batch, dim).
///
/// # Errors
///
/// If the shapes do not fit.
pub fn masked_mean(states: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let mask = mask.to_dtype(states.dtype())?.unsqueeze(D::Minus1)?;
    let sums = states.broadcast_mul(&mask)?.sum(1)?;
    // A text has at least the two marks of begin and end, so no count is zero.
    sums.broadcast_div(&mask.sum(1)?)
}

/// The mean over all tokens: as [`masked_mean`] where every token is real.
///
/// # Errors
///
/// If `states` is not of rank 3.
pub fn mean(states: &Tensor) -> Result<Tensor> {
    states.mean(1)
}

/// Scales the rows of a (batch, dim) tensor to unit length.
///
/// # Errors
///
/// If `rows` is not of rank 2.
pub fn unit_rows(rows: &Tensor) -> Result<Tensor> {
    let norms = rows.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(MIN_NORM)?;
    rows.broadcast_div(&norms)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn padding_has_no_say_in_the_mean() {
        let states = [[[1f32, 2.0], [3.0, 6.0]], [[5.0, -1.0], [1e9, -1e9]]];
        let states = Tensor::new(&states, &Device::Cpu).unwrap();
        let mask = Tensor::new(&[[1u32, 1], [1, 0]], &Device::Cpu).unwrap();
        let means = masked_mean(&states, &mask).unwrap();
        assert_eq!(means.to_vec2::<f32>().unwrap(), [[2.0, 4.0], [5.0, -1.0]]);
        let all = mean(&states.narrow(0, 0, 1).unwrap()).unwrap();
        assert_eq!(all.to_vec2::<f32>().unwrap(), [[2.0, 4.0]]);
    }

    #[test]
    fn rows_get_unit_length_and_zero_stays_zero() {
        let rows = Tensor::new(&[[3f32, 4.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        let unit = unit_rows(&rows).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(unit, [[0.6, 0.8], [0.0, 0.0]]);
    }
}
