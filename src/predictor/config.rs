//! `config.json` of a trained model: everything needed to run it but the weights.

use serde::{Deserialize, Serialize};

use crate::image::encoders::EncoderConfig;
use crate::image::preprocess::Preprocess;
use crate::text::EncoderIdentity;

/// A trained model's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictorConfig {
    /// The image encoder.
    pub encoder: EncoderConfig,
    /// How images are made ready for it.
    pub preprocess: Preprocess,
    /// The sentence encoder whose embeddings it predicts.
    pub sentence_encoder: EncoderIdentity,
}
