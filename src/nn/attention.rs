//! Multi-head self-attention (Vaswani et al., 2017, s. 3.2). In (batch, tokens, dim), out the same.

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::linear::Linear;
use super::ops;

/// Self-attention of `heads` heads over all tokens.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
}

impl SelfAttention {
    /// Reads or starts query, key, value and output, in this order. `heads` divides `dim`.
    ///
    /// # Errors
    /// If it does not, or a weight is missing or of another shape.
    pub fn new(dim: usize, heads: usize, vbs: [VarBuilder<'_>; 4]) -> Result<Self> {
        if heads == 0 || !dim.is_multiple_of(heads) {
            candle_core::bail!("{heads} attention heads do not divide {dim} dimensions");
        }
        let [query, key, value, output] = vbs;
        Ok(Self {
            query: Linear::new(dim, dim, query)?,
            key: Linear::new(dim, dim, key)?,
            value: Linear::new(dim, dim, value)?,
            output: Linear::new(dim, dim, output)?,
            heads,
        })
    }

    /// (batch, tokens, dim) to (batch, heads, tokens, dim / heads).
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, dim) = x.dims3()?;
        x.reshape((batch, tokens, self.heads, dim / self.heads))?
            .transpose(1, 2)?
            .contiguous()
    }
}

impl Module for SelfAttention {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, dim) = x.dims3()?;
        let scale = 1.0 / ((dim / self.heads) as f64).sqrt();
        let query = (self.split(&self.query.forward(x)?)? * scale)?;
        let key = self.split(&self.key.forward(x)?)?;
        let value = self.split(&self.value.forward(x)?)?;
        let weights = ops::softmax(&query.matmul(&key.t()?)?)?;
        let mixed = weights.matmul(&value)?.transpose(1, 2)?.contiguous()?;
        self.output.forward(&mixed.reshape(x.shape())?)
    }
}
