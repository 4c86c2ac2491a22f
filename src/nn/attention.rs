//! Multi-head attention (Vaswani et al., 2017, s. 3.2). In (batch, tokens, dim), out the same.

use candle_core::{Device, Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::linear::Linear;
use super::ops;

/// Attention of `heads` heads, of all tokens to themselves or to those of a source.
#[derive(Clone, Debug)]
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
}

impl Attention {
    /// Reads or starts query, key, value and output, in this order, of tokens that attend to themselves. `heads`
    /// divides `dim`.
    ///
    /// # Errors
    /// If it does not, or a weight is missing or of another shape.
    pub fn new(dim: usize, heads: usize, vbs: [VarBuilder<'_>; 4]) -> Result<Self> {
        Self::to_source(dim, dim, heads, vbs)
    }

    /// The same of tokens that attend to a source, whose tokens have `source` numbers.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn to_source(
        dim: usize,
        source: usize,
        heads: usize,
        vbs: [VarBuilder<'_>; 4],
    ) -> Result<Self> {
        if heads == 0 || !dim.is_multiple_of(heads) {
            candle_core::bail!("{heads} attention heads do not divide {dim} dimensions");
        }
        let [query, key, value, output] = vbs;
        Ok(Self {
            query: Linear::new(dim, dim, query)?,
            key: Linear::new(source, dim, key)?,
            value: Linear::new(source, dim, value)?,
            output: Linear::new(dim, dim, output)?,
            heads,
        })
    }

    /// Attention to `source`, (batch, source tokens, source). `bias`, (tokens, source tokens) or what broadcasts
    /// over (batch, heads, tokens, source tokens), is added to the scores: very negative where a token must not
    /// look.
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn forward_to(&self, x: &Tensor, source: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        self.forward_with(x, &self.source(source)?, bias)
    }

    /// What tokens look at of `source`, (batch, source tokens, source), which serves many calls.
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn source(&self, source: &Tensor) -> Result<KeysValues> {
        Ok(KeysValues {
            keys: self.split(&self.key.forward(source)?)?,
            values: self.split(&self.value.forward(source)?)?,
        })
    }

    /// As [`forward_to`](Self::forward_to), with what [`source`](Self::source) has made.
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn forward_with(
        &self,
        x: &Tensor,
        source: &KeysValues,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (_, _, dim) = x.dims3()?;
        let scale = 1.0 / ((dim / self.heads) as f64).sqrt();
        let query = (self.split(&self.query.forward(x)?)? * scale)?;
        let mixed = ops::attention(&query, &source.keys, &source.values, bias)?;
        let mixed = mixed.transpose(1, 2)?.contiguous()?;
        self.output.forward(&mixed.reshape(x.shape())?)
    }

    /// (batch, tokens, dim) to (batch, heads, tokens, dim / heads).
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, dim) = x.dims3()?;
        x.reshape((batch, tokens, self.heads, dim / self.heads))?
            .transpose(1, 2)?
            .contiguous()
    }
}

/// What attention looks at: (batch, heads, source tokens, dim / heads) each.
#[derive(Clone, Debug)]
pub struct KeysValues {
    keys: Tensor,
    values: Tensor,
}

impl KeysValues {
    /// How many sources there are.
    pub fn batch(&self) -> usize {
        self.keys.dims()[0]
    }

    /// Those of the batch at `places`, (places), with `more` source tokens behind them.
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn extended(&self, places: &Tensor, more: &Self) -> Result<Self> {
        let extended =
            |own: &Tensor, more: &Tensor| Tensor::cat(&[&own.index_select(places, 0)?, more], 2);
        Ok(Self {
            keys: extended(&self.keys, &more.keys)?,
            values: extended(&self.values, &more.values)?,
        })
    }
}

/// Added to the score of a token that must not be looked at: its weight after softmax is then nothing.
pub(crate) const NEVER: f32 = -1e9;

/// (tokens, tokens): zero where a token may look, very negative behind it.
///
/// # Errors
/// If the device refuses the tensor.
pub fn backwards_only(tokens: usize, device: &Device) -> Result<Tensor> {
    let pairs = (0..tokens).flat_map(|from| (0..tokens).map(move |to| (from, to)));
    let bias = pairs.map(|(from, to)| if to > from { NEVER } else { 0.0 });
    Tensor::from_vec(bias.collect(), (tokens, tokens), device)
}
