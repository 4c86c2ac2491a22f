//! BERT (Devlin 2019) and MPNet (Song 2020) for inference on the CPU, one thread a call: texts as token
//! numbers in, the states of all their tokens out.
//!
//! Texts of any lengths are packed one after the other: every matrix product takes the tokens of all, no
//! token is padding, and each text attends to itself alone. Queries, keys and values are one product, weights are made
//! ready for products once, and what lies between products is fused in [`kernels`](super::kernels). Other devices take
//! [`padded`](super::padded), with the same results.

use std::cell::RefCell;

use candle_core::{Result, bail};
use candle_nn::VarBuilder;
use serde::Deserialize;

use super::attention::{self, Attention};
use super::kernels::{AddNorm, add_bias, bias_gelu};
use super::mpnet::RelativePositions;
use crate::matmul::{Factor, Matrix, Precision, write_product};
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
    pub(super) fn first_place(&self) -> usize {
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
pub(super) struct Names {
    /// Queries, keys and values.
    pub(super) attend: [&'static str; 3],
    /// What follows attention.
    pub(super) mix: &'static str,
    /// What follows that.
    pub(super) mix_norm: &'static str,
}

impl Kind {
    pub(super) fn names(self) -> Names {
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
    dim: usize,
    /// (vocabulary, dim)
    words: Vec<f32>,
    /// (positions, dim): the vector of the position, plus that of a text that stands alone.
    places: Vec<f32>,
    first_place: usize,
    norm: AddNorm,
    relative: Option<RelativePositions>,
    layers: Vec<Layer>,
}

thread_local! {
    /// What a thread's forward passes write to, kept from pass to pass.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Memory of a forward pass.
#[derive(Default)]
struct Buffers {
    /// (tokens, 3 * dim)
    parts: Vec<f32>,
    /// (tokens, dim)
    mixed: Vec<f32>,
    /// (tokens, dim)
    attended: Vec<f32>,
    /// (tokens, inner)
    wide: Vec<f32>,
    attention: attention::Scratch,
}

impl Bert {
    /// Takes the weights by the published keys; products will be of this precision.
    pub(super) fn load(
        weights: &VarBuilder<'_>,
        config: &BertConfig,
        precision: Precision,
    ) -> Result<Self> {
        let dim = config.hidden_size;
        let heads = config.num_attention_heads;
        if heads == 0 || !dim.is_multiple_of(heads) {
            bail!("{heads} attention heads do not divide {dim} dimensions");
        }
        if dim == 0 || config.intermediate_size == 0 {
            bail!("layers of {dim} and {} numbers", config.intermediate_size);
        }
        let embeddings = weights.pp("embeddings");
        let table = |rows, key| numbers(&embeddings.pp(key), (rows, dim), "weight");
        let mut places = table(config.max_position_embeddings, "position_embeddings")?;
        let relative = match config.model_type {
            Kind::Bert => {
                let kinds = table(config.type_vocab_size, "token_type_embeddings")?;
                let Some(alone) = kinds.get(..dim) else {
                    bail!("there is no kind of tokens");
                };
                add_bias(&mut places, alone);
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
            dim,
            words: table(config.vocab_size, "word_embeddings")?,
            places,
            first_place: config.first_place(),
            norm: load_norm(vec![0.0; dim], &embeddings.pp("LayerNorm"), config)?,
            relative,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(&layers.pp(layer), config, precision))
                .collect::<Result<_>>()?,
        })
    }

    /// Numbers a token's state has.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// The states of all tokens, text after text: (tokens of all texts, dim).
    ///
    /// # Errors
    /// If a number is that of no token, or a text is too long.
    pub(super) fn forward(&self, texts: &[&[u32]]) -> Result<Vec<f32>> {
        let tokens: usize = texts.iter().map(|text| text.len()).sum();
        let mut states = Vec::with_capacity(tokens * self.dim);
        let mut places = Vec::with_capacity(tokens * self.dim);
        for text in texts {
            for &token in *text {
                states.extend_from_slice(self.row(&self.words, token as usize)?);
            }
            for place in 0..text.len() {
                places.extend_from_slice(self.row(&self.places, self.first_place + place)?);
            }
        }
        self.norm.apply(&mut states, &places);
        let bias = |text: &&[u32]| self.relative.as_ref().map(|it| it.bias(text.len()));
        let biases: Vec<Option<Vec<f32>>> = texts.iter().map(bias).collect();
        let texts: Vec<Text<'_>> = texts
            .iter()
            .zip(&biases)
            .map(|(text, bias)| Text {
                tokens: text.len(),
                bias: bias.as_deref(),
            })
            .collect();
        BUFFERS.with_borrow_mut(|buffers| {
            for layer in &self.layers {
                layer.forward(&mut states, &texts, buffers);
            }
        });
        Ok(states)
    }

    /// A row of a table.
    fn row<'a>(&self, table: &'a [f32], row: usize) -> Result<&'a [f32]> {
        match table.get(row * self.dim..(row + 1) * self.dim) {
            Some(row) => Ok(row),
            None => bail!(
                "number {row} of {} rows of embeddings",
                table.len() / self.dim
            ),
        }
    }
}

/// A text of a batch.
struct Text<'a> {
    tokens: usize,
    /// (heads, tokens, tokens)
    bias: Option<&'a [f32]>,
}

struct Layer {
    heads: usize,
    /// From dim to 3 * dim: queries, keys and values.
    attend: Linear,
    /// From dim to dim; its bias is the norm's.
    mix: Linear,
    mix_norm: AddNorm,
    /// From dim to inner.
    widen: Linear,
    /// From inner to dim; its bias is the norm's.
    narrow: Linear,
    narrow_norm: AddNorm,
}

impl Layer {
    fn load(weights: &VarBuilder<'_>, config: &BertConfig, precision: Precision) -> Result<Self> {
        let (dim, inner) = (config.hidden_size, config.intermediate_size);
        let names = config.model_type.names();
        let parts = names.attend.map(|key| weights.pp(key));
        let mut matrices = Vec::new();
        let mut biases = Vec::new();
        for part in &parts {
            matrices.extend(numbers(part, (dim, dim), "weight")?);
            biases.extend(numbers(part, dim, "bias")?);
        }
        let (mix, mix_norm) = (weights.pp(names.mix), weights.pp(names.mix_norm));
        let (widen, output) = (weights.pp("intermediate.dense"), weights.pp("output"));
        let narrow = output.pp("dense");
        let linear = |weights: Vec<f32>, bias: Vec<f32>, inputs| Linear {
            outputs: weights.len() / inputs,
            weights: Factor::kept(weights, inputs, precision),
            inputs,
            bias,
        };
        Ok(Self {
            heads: config.num_attention_heads,
            attend: linear(matrices, biases, dim),
            mix: linear(numbers(&mix, (dim, dim), "weight")?, vec![], dim),
            mix_norm: load_norm(numbers(&mix, dim, "bias")?, &mix_norm, config)?,
            widen: linear(
                numbers(&widen, (inner, dim), "weight")?,
                numbers(&widen, inner, "bias")?,
                dim,
            ),
            narrow: linear(numbers(&narrow, (dim, inner), "weight")?, vec![], inner),
            narrow_norm: load_norm(
                numbers(&narrow, dim, "bias")?,
                &output.pp("LayerNorm"),
                config,
            )?,
        })
    }

    /// (tokens of all texts, dim) becomes the layer's output.
    fn forward(&self, states: &mut Vec<f32>, texts: &[Text<'_>], buffers: &mut Buffers) {
        let dim = self.mix.outputs;
        let Buffers {
            parts,
            mixed,
            attended,
            wide,
            attention,
        } = buffers;
        self.attend.write(parts, states);
        add_bias(parts, &self.attend.bias);
        mixed.resize(states.len(), 0.0);
        let (mut parts, mut out) = (&parts[..], &mut mixed[..]);
        for text in texts {
            let own;
            (own, parts) = parts.split_at(text.tokens * 3 * dim);
            let to;
            (to, out) = out.split_at_mut(text.tokens * dim);
            let own = Attention {
                parts: own,
                heads: self.heads,
                bias: text.bias,
            };
            own.mix(to, dim, attention);
        }
        self.mix.write(attended, mixed);
        self.mix_norm.apply(attended, states);

        self.widen.write(wide, attended);
        bias_gelu(wide, &self.widen.bias);
        self.narrow.write(states, wide);
        self.narrow_norm.apply(states, attended);
    }
}

/// A matrix, with the bias that is to be added to its products.
struct Linear {
    weights: Factor<'static>,
    inputs: usize,
    outputs: usize,
    bias: Vec<f32>,
}

impl Linear {
    /// Makes `out` (rows, outputs) of `rows`, (rows, inputs); without the bias.
    fn write(&self, out: &mut Vec<f32>, rows: &[f32]) {
        let count = rows.len() / self.inputs;
        out.resize(count * self.outputs, 0.0);
        write_product(out, Matrix::new(rows, count, self.inputs), &self.weights);
    }
}

fn load_norm(bias: Vec<f32>, weights: &VarBuilder<'_>, config: &BertConfig) -> Result<AddNorm> {
    let dim = config.hidden_size;
    Ok(AddNorm {
        bias,
        scale: numbers(weights, dim, "weight")?,
        shift: numbers(weights, dim, "bias")?,
        eps: config.layer_norm_eps as f32,
    })
}

/// All numbers of a tensor.
fn numbers<S: Into<candle_core::Shape>>(
    weights: &VarBuilder<'_>,
    shape: S,
    key: &str,
) -> Result<Vec<f32>> {
    weights.get(shape.into(), key)?.flatten_all()?.to_vec1()
}

#[cfg(test)]
pub(super) mod tests {
    use candle_core::{DType, Device};
    use candle_nn::VarMap;

    use super::*;
    use crate::text::padded::PaddedBert;

    /// Of a small one.
    pub(in crate::text) fn config(model_type: Kind) -> BertConfig {
        BertConfig {
            model_type,
            vocab_size: 50,
            hidden_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 3,
            intermediate_size: 40,
            hidden_act: Activation::Gelu,
            max_position_embeddings: 16,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            relative_attention_num_buckets: buckets(),
        }
    }

    /// Random ones; biases that begin at zero would hide mistakes.
    pub(in crate::text) fn weights(config: &BertConfig) -> VarBuilder<'static> {
        let map = VarMap::new();
        let weights = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        PaddedBert::load(&weights, config).unwrap();
        for variable in map.all_vars() {
            variable
                .set(&variable.randn_like(0.1, 0.4).unwrap())
                .unwrap();
        }
        weights
    }

    #[test]
    fn a_text_is_the_same_beside_others() {
        for kind in [Kind::Bert, Kind::Mpnet] {
            let config = config(kind);
            let bert = Bert::load(&weights(&config), &config, Precision::Full).unwrap();
            let texts: Vec<Vec<u32>> = [1u32, 7, 14, 2, 14, 9]
                .iter()
                .map(|tokens| (0..*tokens).map(|n| (n * 17 + tokens) % 50).collect())
                .collect();
            let packed: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let together = bert.forward(&packed).unwrap();
            let alone = packed.iter().map(|text| bert.forward(&[text]).unwrap());
            let alone: Vec<f32> = alone.flatten().collect();
            assert_eq!(together.len(), alone.len());
            for (together, alone) in together.iter().zip(&alone) {
                assert!(
                    (together - alone).abs() < 1e-5,
                    "{kind:?}: {together} {alone}"
                );
            }
        }
    }

    #[test]
    fn token_numbers_beyond_the_vocabulary_are_errors() {
        let config = config(Kind::Bert);
        let bert = Bert::load(&weights(&config), &config, Precision::Full).unwrap();
        assert!(bert.forward(&[&[config.vocab_size as u32]]).is_err());
        assert!(bert.forward(&[&[0; 17]]).is_err());
        assert!(bert.forward(&[&[], &[1]]).unwrap().len() == 24);
    }
}
