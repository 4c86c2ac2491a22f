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
    /// One vector a text: (batch, dim). `states` is (batch, tokens, dim); `texts` holds the numbers of each
    /// text's tokens, of which those behind its length are padding.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit.
    pub fn pool(self, states: &Tensor, texts: &[&[u32]]) -> Result<Tensor> {
        let (_, tokens, _) = states.dims3()?;
        if self == Self::Mean && texts.iter().all(|text| text.len() == tokens) {
            return states.mean(1);
        }
        let of = |(number, text): (usize, &&[u32])| {
            let own = states.i(number)?.narrow(0, 0, text.len())?;
            let at = |place: usize| own.i(place);
            match self {
                Self::Mean => own.mean(0),
                Self::First => at(0),
                Self::Largest => own.max(0),
                Self::Last => at(text.len().saturating_sub(1)),
                Self::At(end) => {
                    let place = text.iter().position(|&token| token == end);
                    at(place.unwrap_or(text.len().saturating_sub(1)))
                }
            }
        };
        let rows: Vec<Tensor> = texts.iter().enumerate().map(of).collect::<Result<_>>()?;
        Tensor::stack(&rows, 0)
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
    fn padding_has_no_say() {
        let states = [[[1f32, 2.0], [3.0, 6.0]], [[5.0, -1.0], [1e9, -1e9]]];
        let states = Tensor::new(&states, &Device::Cpu).unwrap();
        let pooled = |pooling: Pooling| {
            let pooled = pooling.pool(&states, &[&[7, 8], &[7]]).unwrap();
            pooled.to_vec2::<f32>().unwrap()
        };
        assert_eq!(pooled(Pooling::Mean), [[2.0, 4.0], [5.0, -1.0]]);
        assert_eq!(pooled(Pooling::First), [[1.0, 2.0], [5.0, -1.0]]);
        assert_eq!(pooled(Pooling::Largest), [[3.0, 6.0], [5.0, -1.0]]);
        assert_eq!(pooled(Pooling::Last), [[3.0, 6.0], [5.0, -1.0]]);
        assert_eq!(pooled(Pooling::At(7)), [[1.0, 2.0], [5.0, -1.0]]);
        let first = states.narrow(0, 0, 1).unwrap();
        let mean = Pooling::Mean.pool(&first, &[&[7, 8]]).unwrap();
        assert_eq!(mean.to_vec2::<f32>().unwrap(), [[2.0, 4.0]]);
    }

    #[test]
    fn rows_get_unit_length_and_zero_stays_zero() {
        let rows = Tensor::new(&[[3f32, 4.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        let unit = unit_rows(&rows).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(unit, [[0.6, 0.8], [0.0, 0.0]]);
    }
}
