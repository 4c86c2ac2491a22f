//! A trained model: images in, embeddings and words out.
//!
//! A model is a folder: `config.json`, `model.safetensors`, `vocabulary.txt`, and `confidence.json`
//! once its [`Confidence`] has been fitted. The pocket models of `assets/` are built into the library.

pub mod confidence;
pub mod config;
pub mod network;

use candle_core::Device;
use image::RgbImage;

use self::confidence::Confidence;
use self::config::PredictorConfig;
use self::network::Network;
use crate::bundle::Bundle;
use crate::data::vocabulary::Vocabulary;
use crate::error::Result;

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

/// Images that go through the network together; more gains nothing on a CPU.
const BATCH_IMAGES: usize = 32;

impl Predictor {
    /// Loads a model by the name of a built-in one, or from a folder.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`](crate::Error::UnknownBundle) if it is neither; else what is wrong with a
    /// file.
    pub fn open(name_or_folder: &str, device: &Device) -> Result<Self> {
        let bundle = Bundle::open(name_or_folder, files::CONFIG)?;
        let config: PredictorConfig = bundle.json(files::CONFIG)?;
        let vocabulary = bundle.text(files::VOCABULARY)?;
        let vocabulary = Vocabulary::from_text(&vocabulary, &bundle.path(files::VOCABULARY))?;
        let confidence = if bundle.has(files::CONFIDENCE) {
            let json = bundle.text(files::CONFIDENCE)?;
            Some(Confidence::from_json(
                &json,
                &bundle.path(files::CONFIDENCE),
            )?)
        } else {
            None
        };
        let vb = bundle.weights(files::WEIGHTS, device)?;
        let network = Network::new(&config, vocabulary.len(), &vb)
            .map_err(|source| bundle.failed(files::WEIGHTS, source))?;
        Ok(Self {
            name: name_or_folder.to_owned(),
            config,
            vocabulary,
            confidence,
            network,
            device: device.clone(),
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
