//! One network with its vocabulary, as it stands in a folder.

use std::path::Path;

use candle_core::Device;
use image::RgbImage;

use super::config::PredictorConfig;
use super::network::Network;
use super::{Prediction, files};
use crate::bundle::Bundle;
use crate::data::vocabulary::Vocabulary;
use crate::device::in_pieces;
use crate::error::{Error, Result};
use crate::image::encoders::EncoderConfig;
use crate::image::published::PublishedEncoder;
use crate::text;

/// A network, loaded.
pub(super) struct Model {
    name: String,
    config: PredictorConfig,
    vocabulary: Vocabulary,
    network: Network,
    device: Device,
}

/// Images in work at once: what bounds the memory. More gains nothing on a CPU of few cores.
const BATCH_IMAGES: usize = 32;

impl Model {
    /// Reads the network from its files.
    pub(super) fn open(bundle: &Bundle, device: &Device) -> Result<Self> {
        let config: PredictorConfig = bundle.json(files::CONFIG)?;
        let checked = config.encoder.check(&config.preprocess);
        checked.map_err(|source| bundle.failed(files::CONFIG, source))?;
        let vocabulary = bundle.text(files::VOCABULARY)?;
        let vocabulary = Vocabulary::from_text(&vocabulary, &bundle.path(files::VOCABULARY))?;
        let vb = bundle.weights(files::WEIGHTS, device)?;
        let network = Network::new(&config, vocabulary.len(), &vb, &bundle.path(""))
            .map_err(|source| bundle.failed(files::WEIGHTS, source))?;
        Ok(Self {
            name: bundle.name().to_owned(),
            config,
            vocabulary,
            network,
            device: device.clone(),
        })
    }

    /// A published CLIP: the embeddings of images and of texts share a space, so that nothing is to be learnt. Its
    /// sentence encoder is its own text tower.
    pub(super) fn clip(name: &str, folder: &Path, device: &Device) -> Result<Self> {
        let published = PublishedEncoder::open(folder)?;
        let EncoderConfig::Clip(clip) = &published.config else {
            return Err(Error::Unsupported {
                path: folder.to_owned(),
                why: format!(
                    "a {} shares no space with texts: only a CLIP can be used untrained",
                    published.config.name()
                ),
            });
        };
        let dim = clip.vision_config.projection_dim;
        let encoder = published.build(device, |vb| published.config.build(vb, folder))?;
        Ok(Self {
            name: name.to_owned(),
            config: PredictorConfig {
                sentence_encoder: text::identity(folder, published.files(), dim)?,
                encoder: published.config,
                preprocess: published.preprocess,
            },
            vocabulary: Vocabulary::default(),
            network: Network::without_heads(encoder),
            device: device.clone(),
        })
    }

    /// The name or folder it was opened by.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn config(&self) -> &PredictorConfig {
        &self.config
    }

    pub(super) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// A prediction for each image, in order.
    pub(super) fn predict(&self, images: &[RgbImage]) -> Result<Vec<Prediction>> {
        in_pieces(images, BATCH_IMAGES, &self.device, |piece| {
            self.forward(piece)
        })
    }

    fn forward(&self, images: &[RgbImage]) -> Result<Vec<Prediction>> {
        let pixels = self.config.preprocess.batch(images, &self.device)?;
        let output = self.network.forward(&pixels)?;
        let embeddings: Vec<Vec<f32>> = output.embedding.to_vec2()?;
        let probabilities: Vec<Vec<f32>> = match &output.word_logits {
            Some(logits) => candle_nn::ops::sigmoid(logits)?.to_vec2()?,
            None => vec![vec![]; images.len()],
        };
        let rows = embeddings.into_iter().zip(probabilities);
        let predictions = rows.map(|(embedding, probabilities)| {
            let words = self.vocabulary.words().iter().cloned();
            let mut words: Vec<(String, f32)> = words.zip(probabilities).collect();
            words.sort_by(|a, b| b.1.total_cmp(&a.1));
            Prediction {
                embedding,
                adapted: None,
                words,
            }
        });
        Ok(predictions.collect())
    }
}
