//! The networks that turn tokens into states.

use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::batch::Packing;
use super::bert::{Bert, BertConfig};
use super::clip::ClipTextTower;
use super::padded::PaddedBert;
use crate::matmul::Precision;
use crate::nn::mlp::Activation;

/// A network, loaded.
pub(super) enum Network {
    /// BERT or MPNet on the CPU: texts of any lengths are packed.
    Packed(Box<Bert>),
    /// BERT or MPNet on other devices, with a mask where texts are padded.
    Padded(Box<PaddedBert>),
    /// CLIP's text tower, on any device, where all texts of a batch have the same length.
    Clip(Box<ClipTextTower>),
}

impl Network {
    /// Reads a BERT or an MPNet. On the CPU its products are of this precision, elsewhere of full.
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
        Ok(Self::Padded(Box::new(PaddedBert::load(&vb, config)?)))
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
            Self::Clip(tower) => tower.states(&padded(texts, device)?)?,
            Self::Padded(bert) => {
                let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
                bert.forward(&padded(texts, device)?, &lengths)?
            }
        };
        let own = texts.iter().enumerate();
        own.map(|(number, text)| states.get(number)?.narrow(0, 0, text.len()))
            .collect()
    }
}

/// The numbers of tokens, (texts, longest), and zeros behind a text's end.
fn padded(texts: &[&[u32]], device: &Device) -> Result<Tensor> {
    let lengths = texts.iter().map(|text| text.len());
    let longest = lengths.max().unwrap_or_default();
    let mut numbers = vec![0; texts.len() * longest];
    for (text, row) in texts.iter().zip(numbers.chunks_exact_mut(longest.max(1))) {
        row[..text.len()].copy_from_slice(text);
    }
    Tensor::from_vec(numbers, (texts.len(), longest), device)
}
