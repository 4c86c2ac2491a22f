//! A trained model: images in, embeddings and words out.
//!
//! A model is a folder: `config.json`, `model.safetensors`, `vocabulary.txt`, and `confidence.json`
//! once its [`Confidence`] has been fitted; or `ensemble.json` with several such folders beside it. The pocket models of `assets/` are built into the library.

pub mod confidence;
pub mod config;
pub mod ensemble;
mod model;
pub mod network;

use std::path::Path;

use candle_core::Device;
use image::RgbImage;

use self::confidence::Confidence;
use self::ensemble::{EnsembleConfig, Member};
use self::model::Model;
use crate::bundle::Bundle;
use crate::data::vocabulary::Vocabulary;
use crate::error::{Error, Result};
use crate::text::EncoderIdentity;

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
    /// The models that an ensemble consists of.
    pub const ENSEMBLE: &str = "ensemble.json";
}

/// A trained model, loaded.
pub struct Predictor {
    name: String,
    built_in: bool,
    /// The first model and, in an ensemble, the others, each with its weight.
    first: (f64, Model),
    others: Vec<(f64, Model)>,
    confidence: Option<Confidence>,
}

/// What an image tells about its prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The predicted sentence embedding, a unit vector.
    pub embedding: Vec<f32>,
    /// The vocabulary's words with the probability that the prompt holds them, likeliest first.
    pub words: Vec<(String, f32)>,
}

impl Predictor {
    /// Loads a model by the name of a built-in one, or from a folder.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`] if it is neither, [`Error::OtherTargets`] for an ensemble of models that
    /// do not predict the same; else what is wrong with a file.
    pub fn open(name_or_folder: &str, device: &Device) -> Result<Self> {
        let ensemble = Path::new(name_or_folder).join(files::ENSEMBLE);
        let bundle = if ensemble.is_file() {
            Bundle::open(name_or_folder, files::ENSEMBLE)?
        } else {
            Bundle::open(name_or_folder, files::CONFIG)?
        };
        let mut models = if bundle.has(files::ENSEMBLE) {
            let config: EnsembleConfig = bundle.json(files::ENSEMBLE)?;
            let sum: f64 = config.members.iter().map(|member| member.weight).sum();
            if !config.members.iter().all(|it| it.weight >= 0.0) || (sum - 1.0).abs() > 1e-6 {
                return Err(Error::EnsembleWeights {
                    path: bundle.path(files::ENSEMBLE),
                });
            }
            let open = |member: &Member| -> Result<_> {
                let folder = bundle.path(&member.folder);
                let own = Bundle::open(&folder.to_string_lossy(), files::CONFIG)?;
                Ok((member.weight, Model::open(&own, device)?))
            };
            config.members.iter().map(open).collect::<Result<_>>()?
        } else {
            vec![(1.0, Model::open(&bundle, device)?)]
        }
        .into_iter();
        let Some(first) = models.next() else {
            return Err(Error::EnsembleWeights {
                path: bundle.path(files::ENSEMBLE),
            });
        };
        let others: Vec<(f64, Model)> = models.collect();
        let targets = |model: &Model| model.config().sentence_encoder.clone();
        if let Some((_, other)) = others
            .iter()
            .find(|(_, it)| targets(it) != targets(&first.1))
        {
            return Err(Error::OtherTargets {
                member: other.name().to_owned(),
                first: first.1.name().to_owned(),
            });
        }
        let confidence = if bundle.has(files::CONFIDENCE) {
            let json = bundle.text(files::CONFIDENCE)?;
            Some(Confidence::from_json(
                &json,
                &bundle.path(files::CONFIDENCE),
            )?)
        } else {
            None
        };
        Ok(Self {
            name: name_or_folder.to_owned(),
            built_in: bundle.is_built_in(),
            first,
            others,
            confidence,
        })
    }

    /// The name or folder it was opened by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a model of the library, whose files cannot be written.
    pub fn is_built_in(&self) -> bool {
        self.built_in
    }

    /// Which sentence encoder's embeddings it predicts.
    pub fn sentence_encoder(&self) -> &EncoderIdentity {
        &self.first.1.config().sentence_encoder
    }

    /// Its vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        self.first.1.vocabulary()
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
        if self.others.is_empty() {
            return self.first.1.predict(images);
        }
        let rows = std::iter::once(&self.first)
            .chain(&self.others)
            .map(|(weight, model)| Ok((*weight, model.predict(images)?)))
            .collect::<Result<Vec<_>>>()?;
        let image = |number: usize| {
            let own: Vec<(f64, &Prediction)> = rows
                .iter()
                .map(|(weight, row)| (*weight, &row[number]))
                .collect();
            ensemble::combine(&own)
        };
        Ok((0..images.len()).map(image).collect())
    }
}
