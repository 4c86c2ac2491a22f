//! Captions without a captioner: the likeliest words of a black-box model, each told as the state that the diffusion
//! model's text encoder, or the sentence encoder for models of ours, gives it when it stands alone.

use std::path::Path;

use candle_core::{DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use super::Captioner;
use crate::diffusion::context::Context;
use crate::heads::joint::JointHeads;
use crate::image::ImageEncoder;
use crate::image::encoders::{EncoderConfig, MAX_SIDE};

/// Sizes of a black-box model and of what its words are told by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WordsConfig {
    /// The black-box model's encoder.
    pub encoder: Box<EncoderConfig>,
    /// Length of the embeddings that it predicts.
    pub embedding: usize,
    /// Words that it knows.
    pub vocabulary: usize,
    /// Words of a caption; with none, every image is told the first state alone.
    pub words: usize,
    /// Length of a word's state.
    pub context: usize,
}

/// A black-box model (`encoder.*`, `heads.*`) and the state of each of its words (`states`).
pub(super) struct Words {
    encoder: Box<dyn ImageEncoder>,
    heads: JointHeads,
    /// (vocabulary + 1, context): the state of the empty text, then those of the words.
    states: Tensor,
    words: usize,
    side: usize,
}

impl Words {
    /// Reads the model, or starts it.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub(super) fn new(config: &WordsConfig, vb: &VarBuilder<'_>, folder: &Path) -> Result<Self> {
        let side = config.encoder.side();
        if !(1..=MAX_SIDE).contains(&side) {
            candle_core::bail!("a captioner's image_size of {side} is not from 1 to {MAX_SIDE}");
        }
        let encoder = config.encoder.build(vb.pp("encoder"), folder)?;
        let (embedding, vocabulary) = (config.embedding, config.vocabulary);
        let heads = JointHeads::new(encoder.width(), embedding, vocabulary, vb.pp("heads"))?;
        let shape = (vocabulary + 1, config.context);
        Ok(Self {
            encoder,
            heads,
            states: vb.get_with_hints(shape, "states", Init::Const(0.0))?,
            words: config.words.min(vocabulary),
            side,
        })
    }

    /// Numbers of the empty text's state and of those of the likeliest words.
    fn likeliest(&self, logits: &[f32]) -> Vec<u32> {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        let words = order.iter().take(self.words).map(|&word| word as u32 + 1);
        std::iter::once(0).chain(words).collect()
    }
}

impl Captioner for Words {
    fn side(&self) -> usize {
        self.side
    }

    /// The empty text and the words.
    fn length(&self) -> usize {
        self.words + 1
    }

    /// Numbers of states.
    fn caption(&self, pixels: &Tensor) -> Result<Tensor> {
        let batch = pixels.dim(0)?;
        let output = self.heads.forward(&self.encoder.forward(pixels)?)?;
        let device = pixels.device();
        match output.word_logits {
            Some(logits) if self.words > 0 => {
                let rows: Vec<Vec<f32>> = logits.detach().to_vec2()?;
                let numbers = rows.iter().flat_map(|row| self.likeliest(row)).collect();
                Tensor::from_vec(numbers, (batch, self.length()), device)
            }
            _ => Tensor::zeros((batch, self.length()), DType::U32, device),
        }
    }

    fn states(&self, caption: &Tensor) -> Result<Context> {
        let (batch, count) = caption.dims2()?;
        let states = self.states.index_select(&caption.flatten_all()?, 0)?;
        Ok(Context::even(states.reshape((batch, count, ()))?.detach()))
    }
}
