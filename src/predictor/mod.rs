//! A trained model: images in, embeddings and words out.
//!
//! A model is a folder: `config.json`, `model.safetensors`, `vocabulary.txt`, and `confidence.json`
//! once its [`Confidence`] has been fitted. The pocket models of `assets/` are built into the library.

pub mod confidence;
pub mod config;
pub mod embedded;
pub mod network;

use std::path::Path;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use image::RgbImage;

use self::confidence::Confidence;
use self::config::PredictorConfig;
use self::network::Network;
use crate::data::vocabulary::Vocabulary;
use crate::error::{Error, Result};
use crate::weights;

/// Names of the files in a model's folder.
pub mod files {
    /// Everything needed to run the model but its weights.
    pub const CONFIG: &str = "config.json";
    /// The weights, in half precision.
    pub const WEIGHTS: &str = "model.safetensors";
    /// The vocabulary, one word a line.
    pub const VOCABULARY: &str = "vocabulary.txt";
    /// The fitted confidence.
    pub const CONFIDENCE: &str = "confidence.json";
}

/// A trained model, loaded.
pub struct Predictor {
    name: String,
    config: PredictorConfig,
    vocabulary: Vocabulary,
    confidence: Option<Confidence>,
    network: Network,
    device: Device,
}

/// What an image tells about its prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The predicted sentence embedding, a unit vector.
    pub embedding: Vec<f32>,
    /// The vocabulary's words with the probability that the prompt holds them, likeliest first.
    pub words: Vec<(String, f32)>,
}

/// The contents of a model's text files.
struct Texts {
    config: String,
    vocabulary: String,
    confidence: Option<String>,
}

/// Images that go through the network together; more gains nothing on a CPU.
const BATCH_IMAGES: usize = 32;

impl Predictor {
    /// Loads a model by the name of a built-in one, or from a folder.
    ///
    /// # Errors
    /// [`Error::UnknownPredictor`] if it is neither; else what is wrong with a file.
    pub fn open(name_or_folder: &str, device: &Device) -> Result<Self> {
        if let Some(model) = embedded::find(name_or_folder) {
            let weights = model.weights.to_vec();
            let vb = VarBuilder::from_buffered_safetensors(weights, DType::F32, device)?;
            let texts = Texts {
                config: model.config.to_owned(),
                vocabulary: model.vocabulary.to_owned(),
                confidence: Some(model.confidence.to_owned()),
            };
            return Self::build(name_or_folder, &texts, &vb, device);
        }
        let folder = Path::new(name_or_folder);
        if !folder.join(files::CONFIG).is_file() {
            let (given, known) = (name_or_folder.to_owned(), embedded::names());
            return Err(Error::UnknownPredictor { given, known });
        }
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(Error::io("read", &path))
        };
        let fitted = folder.join(files::CONFIDENCE).exists();
        let texts = Texts {
            config: read(files::CONFIG)?,
            vocabulary: read(files::VOCABULARY)?,
            confidence: if fitted {
                Some(read(files::CONFIDENCE)?)
            } else {
                None
            },
        };
        let vb = weights::open(&folder.join(files::WEIGHTS), DType::F32, device)?;
        Self::build(name_or_folder, &texts, &vb, device)
    }

    fn build(name: &str, texts: &Texts, vb: &VarBuilder<'_>, device: &Device) -> Result<Self> {
        let at = |file: &str| Path::new(name).join(file);
        let config: PredictorConfig =
            serde_json::from_str(&texts.config).map_err(|source| Error::ModelConfig {
                path: at(files::CONFIG),
                source,
            })?;
        let vocabulary = Vocabulary::from_text(&texts.vocabulary, &at(files::VOCABULARY))?;
        let confidence = texts
            .confidence
            .as_ref()
            .map(|json| Confidence::from_json(json, &at(files::CONFIDENCE)))
            .transpose()?;
        let network = Network::new(&config, vocabulary.len(), vb)
            .map_err(|source| weights::failed(&at(files::WEIGHTS), source))?;
        let (name, device) = (name.to_owned(), device.clone());
        Ok(Self {
            name,
            config,
            vocabulary,
            confidence,
            network,
            device,
        })
    }

    /// The name or folder it was opened by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its configuration.
    pub fn config(&self) -> &PredictorConfig {
        &self.config
    }

    /// Its vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Its fitted confidence; `None` if none has been fitted yet.
    pub fn confidence(&self) -> Option<&Confidence> {
        self.confidence.as_ref()
    }

    /// A prediction for each image, in order.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn predict(&self, images: &[RgbImage]) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::with_capacity(images.len());
        for batch in images.chunks(BATCH_IMAGES) {
            let pixels = self.config.preprocess.batch(batch, &self.device)?;
            let output = self.network.forward(&pixels)?;
            let embeddings: Vec<Vec<f32>> = output.embedding.to_vec2()?;
            let probabilities: Vec<Vec<f32>> = match &output.word_logits {
                Some(logits) => candle_nn::ops::sigmoid(logits)?.to_vec2()?,
                None => vec![vec![]; batch.len()],
            };
            for (embedding, probabilities) in embeddings.into_iter().zip(probabilities) {
                let words = self.vocabulary.words().iter().cloned();
                let mut words: Vec<(String, f32)> = words.zip(probabilities).collect();
                words.sort_by(|a, b| b.1.total_cmp(&a.1));
                predictions.push(Prediction { embedding, words });
            }
        }
        Ok(predictions)
    }
}
