//! The networks that turn tokens into states.

use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, HiddenAct, PositionEmbeddingType};

use super::batch::Packing;
use super::bert::{Bert, BertConfig, Kind};
use super::clip::ClipTextTower;
use crate::matmul::Precision;
use crate::nn::mlp::Activation;

/// A network, loaded.
pub(super) enum Network {
    /// BERT on the CPU, and MPNet wherever all else runs: texts of any lengths are packed.
    Packed(Box<Bert>),
    /// BERT on other devices, with a mask where texts are padded.
    Padded(Box<BertModel>),
    /// CLIP's text tower, on any device, where all texts of a batch have the same length.
    Clip(Box<ClipTextTower>),
}

impl Network {
    /// Reads a BERT or an MPNet, which runs on the CPU whatever the device. On the CPU its products are of this
    /// precision.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub(super) fn bert(
        config: &BertConfig,
        vb: VarBuilder<'_>,
        precision: Precision,
    ) -> Result<Self> {
        if config.hidden_act != Activation::Gelu {
            candle_core::bail!(
                "hidden_act {:?} is not known here, only gelu is",
                config.hidden_act
            );
        }
        if vb.device().is_cpu() {
            return Ok(Self::Packed(Box::new(Bert::load(&vb, config, precision)?)));
        }
        if config.model_type != Kind::Bert {
            let precision = precision.min(Precision::fastest(&Device::Cpu));
            let vb = vb.set_device(Device::Cpu);
            return Ok(Self::Packed(Box::new(Bert::load(&vb, config, precision)?)));
        }
        Ok(Self::Padded(Box::new(BertModel::load(
            vb,
            &general(config),
        )?)))
    }

    /// Which texts may share a batch.
    pub(super) fn packing(&self) -> Packing {
        match self {
            Self::Packed(_) => Packing::Packed,
            Self::Padded(_) => Packing::Padded,
            Self::Clip(_) => Packing::Equal,
        }
    }

    /// The states of each text's tokens: (its tokens, dim).
    ///
    /// # Errors
    /// If a number is that of no token, or a text is too long.
    pub(super) fn states(&self, texts: &[&[u32]], device: &Device) -> Result<Vec<Tensor>> {
        let states = match self {
            Self::Packed(bert) => {
                let states = bert.forward(texts)?;
                let states = Tensor::from_vec(states, ((), bert.dim()), device)?;
                let mut start = 0;
                let own = texts.iter().map(|text| {
                    start += text.len();
                    states.narrow(0, start - text.len(), text.len())
                });
                return own.collect();
            }
            Self::Clip(tower) => tower.states(&padded(texts, |text, at| text[at], device)?)?,
            Self::Padded(bert) => {
                let ids = padded(texts, |text, at| text[at], device)?;
                let mask = padded(texts, |_, _| 1, device)?;
                bert.forward(&ids, &ids.zeros_like()?, Some(&mask))?
            }
        };
        let own = texts.iter().enumerate();
        own.map(|(number, text)| states.get(number)?.narrow(0, 0, text.len()))
            .collect()
    }
}

/// A number for each token, (texts, longest), and zeros behind a text's end.
fn padded(texts: &[&[u32]], of: impl Fn(&[u32], usize) -> u32, device: &Device) -> Result<Tensor> {
    let lengths = texts.iter().map(|text| text.len());
    let longest = lengths.max().unwrap_or_default();
    let mut numbers = vec![0; texts.len() * longest];
    for (text, row) in texts.iter().zip(numbers.chunks_exact_mut(longest.max(1))) {
        let places = row.iter_mut().enumerate().take(text.len());
        places.for_each(|(at, to)| *to = of(text, at));
    }
    Tensor::from_vec(numbers, (texts.len(), longest), device)
}

/// candle's form of a configuration, without what only training needs.
fn general(config: &BertConfig) -> Config {
    Config {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        num_hidden_layers: config.num_hidden_layers,
        num_attention_heads: config.num_attention_heads,
        intermediate_size: config.intermediate_size,
        hidden_act: HiddenAct::Gelu,
        max_position_embeddings: config.max_position_embeddings,
        type_vocab_size: config.type_vocab_size,
        layer_norm_eps: config.layer_norm_eps,
        position_embedding_type: PositionEmbeddingType::Absolute,
        ..Config::default()
    }
}
