//! BERT (Devlin 2019) and MPNet (Song 2020) for inference on the CPU, one thread a call: token numbers
//! (batch, tokens) in, token states (batch, tokens, dim) out. All texts of a batch have the same length,
//! so there is no mask.
//!
//! The same model as candle-transformers' `BertModel`, from the same keys and with the same results
//! (tested below); queries, keys and values are one matrix product, and what lies between products is
//! fused in [`kernels`](super::kernels). Other devices take `BertModel` itself.

use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use super::kernels::{AddBias, AddNorm, BiasGelu, ScaledSoftmax};
use super::mpnet::RelativePositions;
use crate::nn::mlp::Activation;
use crate::weights::layout::Layout;

/// Sizes of a BERT or MPNet, under the keys of published `config.json` files.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct BertConfig {
    /// Which of the two.
    #[serde(default)]
    pub(super) model_type: Kind,
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) hidden_act: Activation,
    pub(super) max_position_embeddings: usize,
    #[serde(default)]
    pub(super) type_vocab_size: usize,
    pub(super) layer_norm_eps: f64,
    /// Buckets of MPNet's relative positions.
    #[serde(default = "buckets")]
    pub(super) relative_attention_num_buckets: usize,
}

fn buckets() -> usize {
    32
}

/// Which of the architectures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Absolute positions alone, and kinds of tokens.
    #[default]
    Bert,
    /// Absolute positions and relative ones; no kinds of tokens.
    Mpnet,
}

/// Settings that are known in one value alone.
pub(super) const FIXED: &[(&str, &str)] = &[("position_embedding_type", "\"absolute\"")];

impl BertConfig {
    /// Places before the first token's: MPNet keeps two for padding.
    fn first_place(&self) -> usize {
        match self.model_type {
            Kind::Bert => 0,
            Kind::Mpnet => 2,
        }
    }

    /// Tokens of the longest text.
    pub(super) fn max_tokens(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.first_place())
    }

    /// What a checkpoint of it may hold besides.
    pub(super) fn layout(&self) -> Layout {
        Layout {
            others: &[
                "pooler.",
                "bert.pooler.",
                "mpnet.pooler.",
                "cls.",
                "lm_head.",
            ],
            tables: &["embeddings.position_ids"],
            ..Layout::SAME
        }
    }
}

/// What a kind of checkpoint calls the parts of a layer.
struct Names {
    attend: [&'static str; 3],
    mix: &'static str,
    mix_norm: &'static str,
}

impl Kind {
    fn names(self) -> Names {
        match self {
            Self::Bert => Names {
                attend: [
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                ],
                mix: "attention.output.dense",
                mix_norm: "attention.output.LayerNorm",
            },
            Self::Mpnet => Names {
                attend: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
                mix: "attention.attn.o",
                mix_norm: "attention.LayerNorm",
            },
        }
    }
}

/// The model, loaded.
pub(super) struct Bert {
    /// (vocabulary, dim)
    words: Tensor,
    /// (positions, dim): the vector of the position, plus that of a text that stands alone.
    places: Tensor,
    first_place: usize,
    norm: AddNorm,
    relative: Option<RelativePositions>,
    layers: Vec<Layer>,
}

impl Bert {
    /// Takes the weights by the published keys.
    pub(super) fn load(weights: &VarBuilder<'_>, config: &BertConfig) -> Result<Self> {
        let dim = config.hidden_size;
        let heads = config.num_attention_heads;
        if heads == 0 || !dim.is_multiple_of(heads) {
            candle_core::bail!("{heads} attention heads do not divide {dim} dimensions");
        }
        let embeddings = weights.pp("embeddings");
        let table = |rows, key| embeddings.pp(key).get((rows, dim), "weight");
        let mut places = table(config.max_position_embeddings, "position_embeddings")?;
        let relative = match config.model_type {
            Kind::Bert => {
                let kinds = table(config.type_vocab_size, "token_type_embeddings")?;
                places = places.broadcast_add(&kinds.narrow(0, 0, 1)?)?;
                None
            }
            Kind::Mpnet => Some(RelativePositions::load(
                config.relative_attention_num_buckets,
                heads,
                &weights.pp("encoder.relative_attention_bias"),
            )?),
        };
        let layers = weights.pp("encoder.layer");
        Ok(Self {
            words: table(config.vocab_size, "word_embeddings")?,
            places,
            first_place: config.first_place(),
            norm: load_norm(vec![0.0; dim], &embeddings.pp("LayerNorm"), config)?,
            relative,
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
        let places = self.places.narrow(0, self.first_place, tokens)?;
        states.inplace_op2(&places, &self.norm)?;
        let relative = self.relative.as_ref();
        let bias = relative.map(|it| it.bias(tokens)).transpose()?;
        for layer in &self.layers {
            states = layer.forward(&states, batch, tokens, bias.as_ref())?;
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
    fn load(weights: &VarBuilder<'_>, config: &BertConfig) -> Result<Self> {
        let (dim, inner) = (config.hidden_size, config.intermediate_size);
        let names = config.model_type.names();
        let parts = names.attend.map(|key| weights.pp(key));
        let mut matrices = Vec::new();
        let mut biases = Vec::new();
        for part in &parts {
            matrices.push(part.get((dim, dim), "weight")?);
            biases.extend(vector(part, dim, "bias")?);
        }
        let (mix, mix_norm) = (weights.pp(names.mix), weights.pp(names.mix_norm));
        let (widen, output) = (weights.pp("intermediate.dense"), weights.pp("output"));
        let narrow = output.pp("dense");
        let head_dim = (dim / config.num_attention_heads) as f32;
        Ok(Self {
            heads: config.num_attention_heads,
            attend: Tensor::cat(&matrices, 0)?.t()?,
            attend_bias: AddBias(biases),
            softmax: ScaledSoftmax(1.0 / head_dim.sqrt()),
            mix: mix.get((dim, dim), "weight")?.t()?,
            mix_norm: load_norm(vector(&mix, dim, "bias")?, &mix_norm, config)?,
            widen: widen.get((inner, dim), "weight")?.t()?,
            widen_gelu: BiasGelu(vector(&widen, inner, "bias")?),
            narrow: narrow.get((dim, inner), "weight")?.t()?,
            narrow_norm: load_norm(
                vector(&narrow, dim, "bias")?,
                &output.pp("LayerNorm"),
                config,
            )?,
        })
    }

    /// (batch * tokens, dim) in and out; `bias`, (heads, tokens, tokens), is added to the scores.
    fn forward(
        &self,
        states: &Tensor,
        batch: usize,
        tokens: usize,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let attended = states.matmul(&self.attend)?;
        attended.inplace_op1(&self.attend_bias)?;
        // (3, batch, heads, tokens, head_dim)
        let parts = attended
            .reshape((batch, tokens, 3, self.heads, ()))?
            .permute((2, 0, 3, 1, 4))?
            .contiguous()?;
        let (queries, keys, values) = (parts.get(0)?, parts.get(1)?, parts.get(2)?);
        // (batch, heads, tokens, tokens)
        let mut shares = queries.matmul(&keys.transpose(D::Minus2, D::Minus1)?)?;
        if let Some(bias) = bias {
            // The softmax scales what it is given, and the bias is not to be scaled.
            let unscaled = (bias * (1.0 / f64::from(self.softmax.0)))?;
            shares = shares.broadcast_add(&unscaled)?;
        }
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

fn load_norm(bias: Vec<f32>, weights: &VarBuilder<'_>, config: &BertConfig) -> Result<AddNorm> {
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
    use candle_transformers::models::bert::{BertModel, Config};

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
        let ours = BertConfig {
            model_type: Kind::Bert,
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            intermediate_size: config.intermediate_size,
            hidden_act: Activation::Gelu,
            max_position_embeddings: config.max_position_embeddings,
            type_vocab_size: config.type_vocab_size,
            layer_norm_eps: config.layer_norm_eps,
            relative_attention_num_buckets: buckets(),
        };
        let ours = Bert::load(&weights, &ours).unwrap();
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
