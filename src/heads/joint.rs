//! Linear to the prompt embedding; linear from there to the vocabulary.
//!
//! As in the paper (docs/method.md): the 384-d output, normalised, is the predicted embedding; the
//! vocabulary head stands on the same output before normalisation.

use candle_core::{D, Result, Tensor};
use candle_nn::{Module, VarBuilder};

use crate::nn::linear::Linear;

/// Heads on top of an encoder's features.
#[derive(Clone, Debug)]
pub struct JointHeads {
    embedding: Linear,
    words: Option<Linear>,
}

/// What the heads put out for a batch.
#[derive(Clone, Debug)]
pub struct JointOutput {
    /// (batch, embedding dimension), unit rows.
    pub embedding: Tensor,
    /// (batch, words), logits of the word occurring; `None` without a vocabulary.
    pub word_logits: Option<Tensor>,
}

impl JointHeads {
    /// Reads the heads, or starts them for training: `features` in, `dim` and `words` out. Without
    /// words there is no vocabulary head.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(features: usize, dim: usize, words: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let vocabulary = (words > 0).then(|| Linear::new(dim, words, vb.pp("words")));
        Ok(Self {
            embedding: Linear::new(features, dim, vb.pp("embedding"))?,
            words: vocabulary.transpose()?,
        })
    }

    /// Whether there is a vocabulary head.
    pub fn has_vocabulary(&self) -> bool {
        self.words.is_some()
    }

    /// In (batch, features).
    ///
    /// # Errors
    /// If the input has another shape.
    pub fn forward(&self, features: &Tensor) -> Result<JointOutput> {
        let raw = self.embedding.forward(features)?;
        let word_logits = self
            .words
            .as_ref()
            .map(|words| words.forward(&raw))
            .transpose()?;
        let norm = raw
            .sqr()?
            .sum_keepdim(D::Minus1)?
            .affine(1.0, 1e-12)?
            .sqrt()?;
        Ok(JointOutput {
            embedding: raw.broadcast_div(&norm)?,
            word_logits,
        })
    }
}
