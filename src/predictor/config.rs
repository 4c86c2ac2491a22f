//! `config.json` of a trained model: everything needed to run it but the weights.

use serde::{Deserialize, Serialize};

use crate::image::preprocess::Preprocess;
use crate::image::vit::VitConfig;
use crate::text::EncoderIdentity;

/// Which encoder, and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model_type", rename_all = "lowercase")]
pub enum EncoderConfig {
    /// The vision transformer.
    Vit(VitConfig),
}

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
