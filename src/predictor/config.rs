//! `config.json` of a trained model: everything needed to run it but the weights.

use serde::{Deserialize, Serialize};

use crate::image::preprocess::Preprocess;
use crate::image::vit::VitConfig;

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
    pub sentence_encoder: SentenceEncoderId,
}

/// A sentence encoder, by name and the digest of its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentenceEncoderId {
    /// Its name in the model store.
    pub name: String,
    /// SHA-256 of its `model.safetensors`, lower-case hexadecimal.
    pub digest: String,
    /// Length of its embeddings.
    pub dim: usize,
}
