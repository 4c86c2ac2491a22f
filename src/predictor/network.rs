//! The network itself: encoder and joint heads on one set of variables.

use std::path::Path;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::config::PredictorConfig;
use crate::heads::joint::{JointHeads, JointOutput};
use crate::image::ImageEncoder;
use crate::nn::unit::unit_rows;

/// Encoder (`encoder.*`) and heads (`heads.*`).
pub struct Network {
    encoder: Box<dyn ImageEncoder>,
    /// None where what the encoder gives is the embedding.
    heads: Option<JointHeads>,
}

impl Network {
    /// Reads the network, or starts it for training, with a head for `words` vocabulary words; `folder` is where the files
    /// are that its encoder reads beside its weights.
    ///
    /// # Errors
    /// If a weight is missing or of another shape, or a file is damaged.
    pub fn new(
        config: &PredictorConfig,
        words: usize,
        vb: &VarBuilder<'_>,
        folder: &Path,
    ) -> Result<Self> {
        let encoder = config.encoder.build(vb.pp("encoder"), folder)?;
        let dim = config.sentence_encoder.dim;
        let heads = JointHeads::new(encoder.width(), dim, words, vb.pp("heads"))?;
        Ok(Self {
            encoder,
            heads: Some(heads),
        })
    }

    /// An encoder into whose space texts are encoded as well: what it gives is the embedding, and it knows no
    /// words.
    pub fn without_heads(encoder: Box<dyn ImageEncoder>) -> Self {
        Self {
            encoder,
            heads: None,
        }
    }

    /// Whether training changes the variable of this name; a frozen one gets no gradient.
    pub fn trains(&self, name: &str) -> bool {
        let frozen = |name: &str| self.encoder.frozen().iter().any(|it| name.starts_with(it));
        !name.strip_prefix("encoder.").is_some_and(frozen)
    }

    /// Whether it predicts words.
    pub fn has_vocabulary(&self) -> bool {
        self.heads.as_ref().is_some_and(JointHeads::has_vocabulary)
    }

    /// Whether training leaves any variable as it is.
    pub fn has_frozen(&self) -> bool {
        !self.encoder.frozen().is_empty()
    }

    /// What frozen variables make of (batch, 3, side, side): (batch, ..).
    ///
    /// # Errors
    /// If the input has another shape.
    pub fn given(&self, pixels: &Tensor) -> Result<Tensor> {
        self.encoder.given(pixels)
    }

    /// Outputs from what [`given`](Self::given) makes.
    ///
    /// # Errors
    /// If the input has another shape.
    pub fn learnt(&self, given: &Tensor) -> Result<JointOutput> {
        self.predict(&self.encoder.learnt(given)?)
    }

    /// In (batch, 3, side, side), preprocessed.
    ///
    /// # Errors
    /// If the input has another shape.
    pub fn forward(&self, pixels: &Tensor) -> Result<JointOutput> {
        self.predict(&self.encoder.forward(pixels)?)
    }

    fn predict(&self, features: &Tensor) -> Result<JointOutput> {
        match &self.heads {
            Some(heads) => heads.forward(features),
            None => Ok(JointOutput {
                embedding: unit_rows(features)?,
                word_logits: None,
            }),
        }
    }
}
