//! A text's vector from those of its tokens (Reimers & Gurevych 2019, s. 3), scaled to unit length.

use candle_core::{IndexOp, Result, Tensor};

/// Below this a vector counts as zero and is not scaled up, as in torch's `normalize`.
const MIN_NORM: f64 = 1e-12;

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token, which marks the beginning.
    First,
    /// The largest number in each place.
    Largest,
    /// That of the last token.
    Last,
    /// That of the first token of this number, which marks the end.
    At(u32),
}

impl Pooling {
    /// One vector, (dim), of the states of a text's tokens, (tokens, dim); `text` holds the tokens' numbers.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit.
    pub fn pool(self, states: &Tensor, text: &[u32]) -> Result<Tensor> {
        let last = text.len().saturating_sub(1);
        match self {
            Self::Mean => states.mean(0),
            Self::First => states.i(0),
            Self::Largest => states.max(0),
            Self::Last => states.i(last),
            Self::At(end) => {
                let place = text.iter().position(|&token| token == end);
                states.i(place.unwrap_or(last))
            }
        }
    }
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
    fn tokens_become_a_vector_each_way() {
        let states = Tensor::new(&[[1f32, 2.0], [3.0, 6.0], [5.0, -2.0]], &Device::Cpu).unwrap();
        let pooled = |pooling: Pooling| {
            let pooled = pooling.pool(&states, &[7, 8, 9]).unwrap();
            pooled.to_vec1::<f32>().unwrap()
        };
        assert_eq!(pooled(Pooling::Mean), [3.0, 2.0]);
        assert_eq!(pooled(Pooling::First), [1.0, 2.0]);
        assert_eq!(pooled(Pooling::Largest), [5.0, 6.0]);
        assert_eq!(pooled(Pooling::Last), [5.0, -2.0]);
        assert_eq!(pooled(Pooling::At(8)), [3.0, 6.0]);
        assert_eq!(pooled(Pooling::At(1)), [5.0, -2.0]);
    }

    #[test]
    fn rows_get_unit_length_and_zero_stays_zero() {
        let rows = Tensor::new(&[[3f32, 4.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        let unit = unit_rows(&rows).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(unit, [[0.6, 0.8], [0.0, 0.0]]);
    }
}
