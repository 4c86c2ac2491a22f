//! BERT (Devlin 2019) and MPNet (Song 2020) for inference on the CPU, one thread a call: texts as token
//! numbers in, the states of all their tokens out.
//!
//! Texts of any lengths are packed one after the other: every matrix product takes the tokens of all, no
//! token is padding, and each text attends to itself alone. The same model as candle-transformers'
//! `BertModel`, from the same keys and with the same results (tested below); queries, keys and values are
//! one product, weights are made ready for products once, and what lies between products is fused in
//! [`kernels`](super::kernels). Other devices take `BertModel` itself.

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
    use candle_core::{DType, Device, Tensor};
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
        let ours = Bert::load(&weights, &ours, Precision::Full).unwrap();
        (theirs, ours, config)
    }

    #[test]
    fn gives_what_candles_gives() {
        let (theirs, ours, config) = small();
        let texts: Vec<Vec<u32>> = [1, 7, 16, 2, 16, 9]
            .iter()
            .map(|tokens| {
                (0..*tokens)
                    .map(|n| (n * 17 + tokens) % config.vocab_size as u32)
                    .collect()
            })
            .collect();
        let packed: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let found = ours.forward(&packed).unwrap();
        let mut found = found.as_slice();
        for text in &texts {
            let ids = Tensor::new(&text[..], &Device::Cpu)
                .unwrap()
                .unsqueeze(0)
                .unwrap();
            let expected = theirs
                .forward(&ids, &ids.zeros_like().unwrap(), None)
                .unwrap();
            let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
            let own;
            (own, found) = found.split_at(expected.len());
            for (found, expected) in own.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
        assert!(found.is_empty());
    }

    #[test]
    fn token_numbers_beyond_the_vocabulary_are_errors() {
        let (_, ours, config) = small();
        assert!(ours.forward(&[&[config.vocab_size as u32]]).is_err());
        assert!(ours.forward(&[&[0; 17]]).is_err());
        assert!(ours.forward(&[&[], &[1]]).unwrap().len() == 24);
    }
}
