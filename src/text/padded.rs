//! BERT (Devlin 2019) and MPNet (Song 2020) on a graphics processor: the texts of a batch filled up to one length, with
//! a mask. The same model as [`Bert`](super::bert::Bert), which the CPU takes.

use candle_core::{Device, Result, Tensor, bail};
use candle_nn::{Module, VarBuilder};

use super::bert::{BertConfig, Kind};
use super::mpnet::RelativePositions;
use crate::nn::attention::{Attention, NEVER};
use crate::nn::mlp::Mlp;
use crate::nn::norm::LayerNorm;

/// The model, loaded.
pub(super) struct PaddedBert {
    /// (vocabulary, dim)
    words: Tensor,
    /// (positions, dim): the vector of the position, plus that of a text that stands alone.
    places: Tensor,
    norm: LayerNorm,
    heads: usize,
    relative: Option<RelativePositions>,
    layers: Vec<Layer>,
}

impl PaddedBert {
    /// Takes the weights by the published keys.
    pub(super) fn load(weights: &VarBuilder<'_>, config: &BertConfig) -> Result<Self> {
        let dim = config.hidden_size;
        let heads = config.num_attention_heads;
        let embeddings = weights.pp("embeddings");
        let table = |rows: usize, key| embeddings.pp(key).get((rows, dim), "weight");
        let first = config.first_place();
        let places = table(config.max_position_embeddings, "position_embeddings")?;
        let places = places.narrow(0, first, config.max_tokens())?;
        let (places, relative) = match config.model_type {
            Kind::Bert => {
                if config.type_vocab_size == 0 {
                    bail!("there is no kind of tokens");
                }
                let kinds = table(config.type_vocab_size, "token_type_embeddings")?;
                (places.broadcast_add(&kinds.get(0)?)?, None)
            }
            Kind::Mpnet => {
                let weights = weights.pp("encoder.relative_attention_bias");
                let buckets = config.relative_attention_num_buckets;
                let relative = RelativePositions::load(buckets, heads, &weights)?;
                (places, Some(relative))
            }
        };
        let layers = weights.pp("encoder.layer");
        Ok(Self {
            words: table(config.vocab_size, "word_embeddings")?,
            places,
            norm: LayerNorm::new(dim, config.layer_norm_eps, embeddings.pp("LayerNorm"))?,
            heads,
            relative,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(&layers.pp(layer), config))
                .collect::<Result<_>>()?,
        })
    }

    /// The states of tokens, (texts, tokens, dim), of their numbers (texts, tokens). Texts have `lengths` tokens; what is
    /// behind them is not looked at.
    ///
    /// # Errors
    /// If a text is too long.
    pub(super) fn forward(&self, ids: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (texts, tokens) = ids.dims2()?;
        let (most, dim) = self.places.dims2()?;
        if tokens > most {
            bail!("{tokens} tokens of {most} at most");
        }
        let words = self.words.index_select(&ids.flatten_all()?, 0)?;
        let words = words.reshape((texts, tokens, dim))?;
        let places = self.places.narrow(0, 0, tokens)?;
        let bias = self.bias(lengths, tokens, ids.device())?;
        let mut states = self.norm.forward(&words.broadcast_add(&places)?)?;
        for layer in &self.layers {
            states = layer.forward(&states, &bias)?;
        }
        Ok(states)
    }

    /// What is added to the scores of pairs of tokens: (texts, 1 or heads, 1 or tokens, tokens).
    fn bias(&self, lengths: &[usize], tokens: usize, device: &Device) -> Result<Tensor> {
        let seen = |length: usize| (0..tokens).map(move |at| if at < length { 0.0 } else { NEVER });
        let mask: Vec<f32> = lengths.iter().flat_map(|&length| seen(length)).collect();
        let mask = Tensor::from_vec(mask, (lengths.len(), 1, 1, tokens), device)?;
        match &self.relative {
            None => Ok(mask),
            Some(relative) => {
                let shape = (1, self.heads, tokens, tokens);
                let relative = Tensor::from_vec(relative.bias(tokens), shape, device)?;
                mask.broadcast_add(&relative)
            }
        }
    }
}

/// Attention, then a perceptron, each added to what came in and normalised afterwards.
struct Layer {
    attention: Attention,
    attention_norm: LayerNorm,
    mlp: Mlp,
    mlp_norm: LayerNorm,
}

impl Layer {
    fn load(weights: &VarBuilder<'_>, config: &BertConfig) -> Result<Self> {
        let (dim, eps) = (config.hidden_size, config.layer_norm_eps);
        let names = config.model_type.names();
        let [query, key, value] = names.attend;
        let attention = [query, key, value, names.mix].map(|key| weights.pp(key));
        let mlp = ["intermediate.dense", "output.dense"].map(|key| weights.pp(key));
        Ok(Self {
            attention: Attention::new(dim, config.num_attention_heads, attention)?,
            attention_norm: LayerNorm::new(dim, eps, weights.pp(names.mix_norm))?,
            mlp: Mlp::new(dim, config.intermediate_size, config.hidden_act, mlp)?,
            mlp_norm: LayerNorm::new(dim, eps, weights.pp("output.LayerNorm"))?,
        })
    }

    /// (texts, tokens, dim) to the same.
    fn forward(&self, states: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let mixed = self.attention.forward_to(states, states, Some(bias))?;
        let states = self.attention_norm.forward(&(states + mixed)?)?;
        let narrow = self.mlp.forward(&states)?;
        self.mlp_norm.forward(&(states + narrow)?)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::matmul::Precision;
    use crate::text::bert::Bert;
    use crate::text::bert::tests::{config, weights};

    /// A small BERT or MPNet with random weights, packed and padded.
    pub(in crate::text) fn both(kind: Kind) -> (Bert, PaddedBert) {
        let config = config(kind);
        let weights = weights(&config);
        let packed = Bert::load(&weights, &config, Precision::Full).unwrap();
        (packed, PaddedBert::load(&weights, &config).unwrap())
    }

    #[test]
    fn gives_what_the_packed_one_gives() {
        for kind in [Kind::Bert, Kind::Mpnet] {
            let (packed, padded) = both(kind);
            let lengths = [9, 1, 4];
            let number = |text: usize, at: usize| ((at * 17 + text * 5) % 50) as u32;
            let mut rows = vec![49; 3 * 9];
            let mut texts = vec![];
            for (text, &length) in lengths.iter().enumerate() {
                let ids: Vec<u32> = (0..length).map(|at| number(text, at)).collect();
                rows[text * 9..][..length].copy_from_slice(&ids);
                texts.push(ids);
            }
            let ids = Tensor::from_vec(rows, (3, 9), &Device::Cpu).unwrap();
            let states = padded.forward(&ids, &lengths).unwrap();
            let mut found = vec![];
            for (text, &length) in lengths.iter().enumerate() {
                let own = states.get(text).unwrap().narrow(0, 0, length).unwrap();
                found.extend(own.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            }
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let expected = packed.forward(&texts).unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{kind:?}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn texts_that_are_too_long_are_errors() {
        let (_, padded) = both(Kind::Bert);
        let ids = Tensor::zeros((1, 17), candle_core::DType::U32, &Device::Cpu).unwrap();
        assert!(padded.forward(&ids, &[17]).is_err());
    }
}
