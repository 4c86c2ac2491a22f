//! BERT (Devlin 2019) for inference on the CPU, one thread a call: token numbers (batch, tokens) in,
//! token states (batch, tokens, dim) out. All texts of a batch have the same length, so there is no
//! mask.
//!
//! The same model as candle-transformers' `BertModel`, from the same keys and with the same results
//! (tested below); queries, keys and values are one matrix product, and what lies between products is
//! fused in [`kernels`](super::kernels). Other devices take `BertModel` itself.

use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{Config, HiddenAct};

use super::kernels::{AddBias, AddNorm, BiasGelu, ScaledSoftmax};

/// The model, loaded.
pub(super) struct Bert {
    /// (vocabulary, dim)
    words: Tensor,
    /// (positions, dim): the vector of the position, plus that of a text that stands alone.
    places: Tensor,
    norm: AddNorm,
    layers: Vec<Layer>,
}

impl Bert {
    /// Takes the weights by the published keys.
    pub(super) fn load(weights: &VarBuilder<'_>, config: &Config) -> Result<Self> {
        let dim = config.hidden_size;
        let heads = config.num_attention_heads;
        if config.hidden_act != HiddenAct::Gelu || heads == 0 || !dim.is_multiple_of(heads) {
            candle_core::bail!(
                "BERT with {:?} and {heads} heads of {dim}",
                config.hidden_act
            );
        }
        let embeddings = weights.pp("embeddings");
        let table = |rows, key| embeddings.pp(key).get((rows, dim), "weight");
        let places = table(config.max_position_embeddings, "position_embeddings")?;
        let kinds = table(config.type_vocab_size, "token_type_embeddings")?;
        let layers = weights.pp("encoder.layer");
        Ok(Self {
            words: table(config.vocab_size, "word_embeddings")?,
            places: places.broadcast_add(&kinds.narrow(0, 0, 1)?)?,
            norm: load_norm(vec![0.0; dim], &embeddings.pp("LayerNorm"), config)?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(&layers.pp(layer), config))
                .collect::<Result<_>>()?,
        })
    }

    /// `ids` is (batch, tokens), u32; out is (batch, tokens, dim).
    pub(super) fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, tokens) = ids.dims2()?;
        // (batch * tokens, dim), here and between the layers.
        let mut states = self.words.index_select(&ids.flatten_all()?, 0)?;
        states.inplace_op2(&self.places.narrow(0, 0, tokens)?, &self.norm)?;
        for layer in &self.layers {
            states = layer.forward(&states, batch, tokens)?;
        }
        states.reshape((batch, tokens, ()))
    }
}

struct Layer {
    heads: usize,
    /// (dim, 3 * dim): queries, keys and values.
    attend: Tensor,
    attend_bias: AddBias,
    softmax: ScaledSoftmax,
    /// (dim, dim)
    mix: Tensor,
    mix_norm: AddNorm,
    /// (dim, inner)
    widen: Tensor,
    widen_gelu: BiasGelu,
    /// (inner, dim)
    narrow: Tensor,
    narrow_norm: AddNorm,
}

impl Layer {
    fn load(weights: &VarBuilder<'_>, config: &Config) -> Result<Self> {
        let (dim, inner) = (config.hidden_size, config.intermediate_size);
        let attention = weights.pp("attention");
        let parts = ["query", "key", "value"].map(|key| attention.pp("self").pp(key));
        let mut matrices = Vec::new();
        let mut biases = Vec::new();
        for part in &parts {
            matrices.push(part.get((dim, dim), "weight")?);
            biases.extend(vector(part, dim, "bias")?);
        }
        let (mix, widen, narrow) = (
            attention.pp("output"),
            weights.pp("intermediate"),
            weights.pp("output"),
        );
        let [mix_dense, widen_dense, narrow_dense] =
            [&mix, &widen, &narrow].map(|part| part.pp("dense"));
        let head_dim = (dim / config.num_attention_heads) as f32;
        Ok(Self {
            heads: config.num_attention_heads,
            attend: Tensor::cat(&matrices, 0)?.t()?,
            attend_bias: AddBias(biases),
            softmax: ScaledSoftmax(1.0 / head_dim.sqrt()),
            mix: mix_dense.get((dim, dim), "weight")?.t()?,
            mix_norm: load_norm(
                vector(&mix_dense, dim, "bias")?,
                &mix.pp("LayerNorm"),
                config,
            )?,
            widen: widen_dense.get((inner, dim), "weight")?.t()?,
            widen_gelu: BiasGelu(vector(&widen_dense, inner, "bias")?),
            narrow: narrow_dense.get((dim, inner), "weight")?.t()?,
            narrow_norm: load_norm(
                vector(&narrow_dense, dim, "bias")?,
                &narrow.pp("LayerNorm"),
                config,
            )?,
        })
    }

    /// (batch * tokens, dim) in and out.
    fn forward(&self, states: &Tensor, batch: usize, tokens: usize) -> Result<Tensor> {
        let attended = states.matmul(&self.attend)?;
        attended.inplace_op1(&self.attend_bias)?;
        // (3, batch, heads, tokens, head_dim)
        let parts = attended
            .reshape((batch, tokens, 3, self.heads, ()))?
            .permute((2, 0, 3, 1, 4))?
            .contiguous()?;
        let (queries, keys, values) = (parts.get(0)?, parts.get(1)?, parts.get(2)?);
        // (batch, heads, tokens, tokens)
        let shares = queries.matmul(&keys.transpose(D::Minus2, D::Minus1)?)?;
        shares.inplace_op1(&self.softmax)?;
        let mixed = shares.matmul(&values)?.transpose(1, 2)?.contiguous()?;
        let mixed = mixed.reshape((batch * tokens, ()))?.matmul(&self.mix)?;
        mixed.inplace_op2(states, &self.mix_norm)?;

        let wide = mixed.matmul(&self.widen)?;
        wide.inplace_op1(&self.widen_gelu)?;
        let out = wide.matmul(&self.narrow)?;
        out.inplace_op2(&mixed, &self.narrow_norm)?;
        Ok(out)
    }
}

fn load_norm(bias: Vec<f32>, weights: &VarBuilder<'_>, config: &Config) -> Result<AddNorm> {
    let dim = config.hidden_size;
    let (scale, shift) = (
        vector(weights, dim, "weight")?,
        vector(weights, dim, "bias")?,
    );
    Ok(AddNorm {
        bias,
        scale,
        shift,
        eps: config.layer_norm_eps as f32,
    })
}

fn vector(weights: &VarBuilder<'_>, len: usize, key: &str) -> Result<Vec<f32>> {
    weights.get(len, key)?.to_vec1()
}

#[cfg(test)]
pub(super) mod tests {
    use candle_core::{DType, Device};
    use candle_nn::VarMap;
    use candle_transformers::models::bert::BertModel;

    use super::*;

    /// A small BERT with random weights, by candle's and by our code.
    pub(in crate::text) fn small() -> (BertModel, Bert, Config) {
        let config = Config {
            vocab_size: 50,
            hidden_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 3,
            intermediate_size: 40,
            max_position_embeddings: 16,
            ..Config::default()
        };
        let map = VarMap::new();
        let weights = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let theirs = BertModel::load(weights.clone(), &config).unwrap();
        // Biases begin at zero and would hide mistakes.
        for variable in map.all_vars() {
            variable
                .set(&variable.randn_like(0.1, 0.4).unwrap())
                .unwrap();
        }
        let ours = Bert::load(&weights, &config).unwrap();
        (theirs, ours, config)
    }

    #[test]
    fn gives_what_candles_gives() {
        let (theirs, ours, config) = small();
        for (batch, tokens) in [(1, 1), (1, 7), (3, 16), (4, 2)] {
            let ids: Vec<u32> = (0..batch * tokens)
                .map(|n| (n * 17 % config.vocab_size) as u32)
                .collect();
            let ids = Tensor::from_vec(ids, (batch, tokens), &Device::Cpu).unwrap();
            let expected = theirs
                .forward(&ids, &ids.zeros_like().unwrap(), None)
                .unwrap();
            let found = ours.forward(&ids).unwrap();
            assert_eq!(found.dims(), expected.dims());
            let worst = (found - expected)
                .unwrap()
                .abs()
                .unwrap()
                .max_all()
                .unwrap();
            assert!(worst.to_scalar::<f32>().unwrap() < 1e-4, "{worst}");
        }
    }

    #[test]
    fn token_numbers_beyond_the_vocabulary_are_errors() {
        let (_, ours, config) = small();
        let ids = Tensor::new(&[[config.vocab_size as u32]], &Device::Cpu).unwrap();
        assert!(ours.forward(&ids).is_err());
        let long = Tensor::zeros((1, 17), DType::U32, &Device::Cpu).unwrap();
        assert!(ours.forward(&long).is_err());
    }
}
