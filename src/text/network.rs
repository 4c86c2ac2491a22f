//! The networks that turn tokens into states.

use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, HiddenAct, PositionEmbeddingType};

use super::bert::{Bert, BertConfig, Kind};
use super::clip::ClipTextTower;
use crate::nn::mlp::Activation;

/// A network, loaded.
pub(super) enum Network {
    /// BERT and MPNet on the CPU, where all texts of a batch have the same length.
    Fused(Box<Bert>),
    /// BERT on other devices, with a mask where texts are padded.
    General(Box<BertModel>),
    /// CLIP's text tower, on any device, where all texts of a batch have the same length.
    Clip(Box<ClipTextTower>),
}

impl Network {
    /// Reads a BERT or, on the CPU alone, an MPNet.
    ///
    /// # Errors
    /// If a weight is missing or of another shape, or the device is not one for it.
    pub(super) fn bert(config: &BertConfig, vb: VarBuilder<'_>) -> Result<Self> {
        if config.hidden_act != Activation::Gelu {
            candle_core::bail!(
                "hidden_act {:?} is not known here, only gelu is",
                config.hidden_act
            );
        }
        if vb.device().is_cpu() {
            return Ok(Self::Fused(Box::new(Bert::load(&vb, config)?)));
        }
        if config.model_type != Kind::Bert {
            candle_core::bail!("sentence encoders of MPNet kind run on the CPU: --device cpu");
        }
        Ok(Self::General(Box::new(BertModel::load(
            vb,
            &general(config),
        )?)))
    }

    /// Whether texts of a batch may have different lengths.
    pub(super) fn pads(&self) -> bool {
        matches!(self, Self::General(_))
    }

    /// The states of all tokens: (batch, longest text, dim), of which those behind a text's end mean nothing.
    ///
    /// # Errors
    /// If a number is that of no token, or a text is too long.
    pub(super) fn states(&self, texts: &[&[u32]], device: &Device) -> Result<Tensor> {
        let longest = texts
            .iter()
            .map(|text| text.len())
            .max()
            .unwrap_or_default();
        let shape = (texts.len(), longest);
        let mut ids = vec![0u32; texts.len() * longest];
        for (text, row) in texts.iter().zip(ids.chunks_exact_mut(longest.max(1))) {
            row[..text.len()].copy_from_slice(text);
        }
        let ids = Tensor::from_vec(ids, shape, device)?;
        match self {
            Self::Fused(bert) => bert.forward(&ids),
            Self::Clip(tower) => tower.states(&ids),
            Self::General(bert) => {
                let real = texts.iter().flat_map(|text| {
                    let len = text.len();
                    (0..longest).map(move |at| u32::from(at < len))
                });
                let mask = Tensor::from_vec(real.collect(), shape, device)?;
                bert.forward(&ids, &ids.zeros_like()?, Some(&mask))
            }
        }
    }
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
