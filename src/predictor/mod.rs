//! A trained model: images in, embeddings and words out.
//!
//! A model is a folder: `config.json`, `model.safetensors`, `vocabulary.txt`, and `confidence.json`,
//! `residuals.safetensors` and `familiarity.safetensors` once its [`Confidence`], [`Residuals`] and [`Familiarity`]
//! have been fitted; or `ensemble.json` with several such folders beside it. An [`Adaptation`] to other images is a file beside them. The
//! pocket models of `assets/` are built into the library.

mod choice;
pub mod confidence;
pub mod config;
pub(crate) mod copy;
pub mod ensemble;
pub mod familiarity;
pub mod isotonic;
mod model;
pub mod network;
pub mod ranking;
pub mod residuals;
mod singles;
mod whitening;

use std::path::{Component, Path, PathBuf};

use candle_core::Device;
use image::RgbImage;
use rayon::prelude::*;

use self::confidence::Confidence;
use self::ensemble::{EnsembleConfig, Member};
use self::familiarity::Familiarity;
use self::model::Model;
use self::residuals::Residuals;
use crate::adapt::Adaptation;
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
    /// What tells images that are like those it has learnt from.
    pub const FAMILIARITY: &str = "familiarity.safetensors";
    /// How the embeddings of true prompts differ from predicted ones.
    pub const RESIDUALS: &str = "residuals.safetensors";
    /// The models that an ensemble consists of.
    pub const ENSEMBLE: &str = "ensemble.json";
    /// The domain-adaptive kernel.
    pub const ADAPTATION: &str = "adaptation.safetensors";
}

/// A trained model, loaded.
pub struct Predictor {
    name: String,
    built_in: bool,
    /// The first model and, in an ensemble, the others, each with its weight.
    first: (f64, Model),
    others: Vec<(f64, Model)>,
    confidence: Option<Confidence>,
    familiarity: Option<Familiarity>,
    residuals: Option<Residuals>,
    adaptation: Option<Adaptation>,
}

/// What an image tells about its prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The predicted sentence embedding, a unit vector.
    pub embedding: Vec<f32>,
    /// The same after domain adaptation, if the model has been adapted: a unit vector.
    pub adapted: Option<Vec<f32>>,
    /// The vocabulary's words with the probability that the prompt holds them, likeliest first.
    pub words: Vec<(String, f32)>,
}

impl Predictor {
    /// Loads a model by the name of a built-in one, or from a folder; `clip:` before a folder means a CLIP as it
    /// is published, which needs no training.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`] if it is neither, [`Error::OtherTargets`] for an ensemble of models that
    /// do not predict the same, [`Error::Adaptation`] and [`Error::OtherAdaptation`] for an adaptation
    /// that is damaged or of another model, [`Error::Confidence`], [`Error::Residuals`] and
    /// [`Error::Familiarity`] for what was fitted and is damaged, missing or of an earlier form; else what is
    /// wrong with a file.
    pub fn open(name_or_folder: &str, device: &Device) -> Result<Self> {
        let mut predictor = Self::open_unfitted(name_or_folder, device)?;
        if predictor.is_published() {
            return Ok(predictor);
        }
        let bundle = bundle(name_or_folder)?;
        if bundle.has(files::CONFIDENCE) {
            let path = bundle.path(files::CONFIDENCE);
            let confidence = Confidence::from_json(&bundle.text(files::CONFIDENCE)?, &path)?;
            predictor.confidence = Some(confidence);
        }
        let dim = predictor.sentence_encoder().dim;
        predictor.familiarity = familiarity(&bundle, dim)?;
        predictor.residuals = residuals(&bundle, dim)?;
        if predictor.confidence.is_some() && predictor.residuals.is_none() {
            return Err(Error::Residuals {
                path: bundle.path(files::RESIDUALS),
                why: "it is not there, though the confidence was fitted with it".into(),
            });
        }
        Ok(predictor)
    }

    /// The same without what was fitted on validation images, even if that is damaged: to fit it anew.
    ///
    /// # Errors
    /// As for [`Predictor::open`].
    pub fn open_unfitted(name_or_folder: &str, device: &Device) -> Result<Self> {
        if let Some(folder) = published_folder(name_or_folder) {
            let model = Model::clip(name_or_folder, folder, device)?;
            return Ok(Self {
                name: name_or_folder.to_owned(),
                built_in: false,
                first: (1.0, model),
                others: vec![],
                confidence: None,
                familiarity: None,
                residuals: None,
                adaptation: None,
            });
        }
        let bundle = bundle(name_or_folder)?;
        let mut predictor = Self::open_unadapted(&bundle, device)?;
        predictor.adaptation = adaptation(&bundle, predictor.sentence_encoder().dim)?;
        Ok(predictor)
    }

    /// Loads the networks of a model alone, even if what was fitted to them is damaged.
    ///
    /// # Errors
    /// As for [`Predictor::open`].
    pub(crate) fn open_unadapted(bundle: &Bundle, device: &Device) -> Result<Self> {
        let mut models = members(bundle)?
            .into_iter()
            .map(|(member, own)| Ok((member.weight, Model::open(&own, device)?)))
            .collect::<Result<Vec<_>>>()?
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
            .find(|(_, it)| !targets(it).is_same(&targets(&first.1)))
        {
            return Err(Error::OtherTargets {
                member: other.name().to_owned(),
                first: first.1.name().to_owned(),
            });
        }
        Ok(Self {
            name: bundle.name().to_owned(),
            built_in: bundle.is_built_in(),
            first,
            others,
            confidence: None,
            familiarity: None,
            residuals: None,
            adaptation: None,
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

    /// Whether it is a published model, beside whose files nothing can be fitted.
    pub fn is_published(&self) -> bool {
        published_folder(&self.name).is_some()
    }

    /// Which sentence encoder's embeddings it predicts.
    pub fn sentence_encoder(&self) -> &EncoderIdentity {
        &self.first.1.config().sentence_encoder
    }

    /// Its vocabulary; that of an ensemble is that of the first model which has one.
    pub fn vocabulary(&self) -> &Vocabulary {
        let models = std::iter::once(&self.first).chain(&self.others);
        let mut vocabularies = models.map(|(_, model)| model.vocabulary());
        vocabularies
            .find(|vocabulary| !vocabulary.is_empty())
            .unwrap_or(self.first.1.vocabulary())
    }

    /// Its fitted confidence; `None` if none has been fitted yet.
    pub fn confidence(&self) -> Option<&Confidence> {
        self.confidence.as_ref()
    }

    /// What tells images that are like those it has learnt from; `None` if it has not been fitted yet.
    pub fn familiarity(&self) -> Option<&Familiarity> {
        self.familiarity.as_ref()
    }

    /// How the embeddings of true prompts differ from what it predicts; `None` if that has not been fitted yet.
    pub fn residuals(&self) -> Option<&Residuals> {
        self.residuals.as_ref()
    }

    /// The same with residuals that have been fitted.
    pub(crate) fn with_residuals(mut self, residuals: Residuals) -> Self {
        self.residuals = Some(residuals);
        self
    }

    /// Its adaptation to other images than it was trained on; `None` if there has been none.
    pub fn adaptation(&self) -> Option<&Adaptation> {
        self.adaptation.as_ref()
    }

    /// An image as small as its predictions allow: of the size that all its networks take, if that is one. They
    /// say the same of it.
    pub fn shrink(&self, image: RgbImage) -> RgbImage {
        let preprocess = &self.first.1.config().preprocess;
        let others = &mut self.others.iter();
        let alike = others.all(|(_, it)| it.config().preprocess.has_shape_of(preprocess));
        match preprocess.resized(&image) {
            Ok(resized) if alike => resized.into_owned(),
            _ => image,
        }
    }

    /// A prediction for each image, in order.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn predict(&self, images: &[RgbImage]) -> Result<Vec<Prediction>> {
        let mut predictions = self.predict_unadapted(images)?;
        if let Some(adaptation) = &self.adaptation {
            predictions.par_iter_mut().for_each(|prediction| {
                prediction.adapted = Some(adaptation.apply(&prediction.embedding));
            });
        }
        Ok(predictions)
    }

    /// As [`predict`](Self::predict), without the adapted embedding.
    pub(crate) fn predict_unadapted(&self, images: &[RgbImage]) -> Result<Vec<Prediction>> {
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

/// The files of the model or ensemble of this name, or in this folder.
///
/// # Errors
/// [`Error::UnknownBundle`] if there is neither.
pub(crate) fn bundle(name_or_folder: &str) -> Result<Bundle> {
    let ensemble = Path::new(name_or_folder).join(files::ENSEMBLE);
    let main = if ensemble.is_file() {
        files::ENSEMBLE
    } else {
        files::CONFIG
    };
    Bundle::open(name_or_folder, main)
}

/// What stands before the folder of a published CLIP.
const PUBLISHED: &str = "clip:";

/// The folder of a published CLIP, if the name is that of one.
pub fn published_folder(name: &str) -> Option<&Path> {
    name.strip_prefix(PUBLISHED).map(Path::new)
}

/// Whether a model of this name is built into the library.
pub fn is_built_in(name_or_folder: &str) -> bool {
    bundle(name_or_folder).is_ok_and(|bundle| bundle.is_built_in())
}

/// The members of an ensemble, or the one model with all the weight.
fn members(bundle: &Bundle) -> Result<Vec<(Member, Bundle)>> {
    if !bundle.has(files::ENSEMBLE) {
        let (folder, weight) = (String::new(), 1.0);
        return Ok(vec![(Member { folder, weight }, bundle.clone())]);
    }
    let config: EnsembleConfig = bundle.json(files::ENSEMBLE)?;
    let sum: f64 = config.members.iter().map(|member| member.weight).sum();
    if !config.members.iter().all(|it| it.weight >= 0.0) || (sum - 1.0).abs() > 1e-6 {
        return Err(Error::EnsembleWeights {
            path: bundle.path(files::ENSEMBLE),
        });
    }
    let is_below = |member: &Member| {
        let parts = Path::new(&member.folder).components();
        parts
            .into_iter()
            .all(|part| matches!(part, Component::Normal(_)))
    };
    if let Some(member) = config.members.iter().find(|it| !is_below(it)) {
        return Err(Error::Unsupported {
            path: bundle.path(files::ENSEMBLE),
            why: format!("{:?} is no folder below it", member.folder),
        });
    }
    let open = |member: Member| {
        let own = Bundle::folder(&bundle.path(&member.folder));
        (member, own)
    };
    Ok(config.members.into_iter().map(open).collect())
}

fn familiarity(bundle: &Bundle, dim: usize) -> Result<Option<Familiarity>> {
    let read = |bytes: &[u8]| {
        let read = Familiarity::from_bytes(bytes)?;
        check_dim(read.dim(), dim).map(|()| read)
    };
    let refused = |path, why| Error::Familiarity { path, why };
    fitted(bundle, files::FAMILIARITY, read, refused)
}

fn residuals(bundle: &Bundle, dim: usize) -> Result<Option<Residuals>> {
    let read = |bytes: &[u8]| {
        let read = Residuals::from_bytes(bytes)?;
        check_dim(read.dim(), dim).map(|()| read)
    };
    let refused = |path, why| Error::Residuals { path, why };
    fitted(bundle, files::RESIDUALS, read, refused)
}

/// What `read` makes of a file, if it is there; what is wrong with it as `refused` says.
fn fitted<T>(
    bundle: &Bundle,
    file: &str,
    read: impl FnOnce(&[u8]) -> std::result::Result<T, String>,
    refused: impl FnOnce(PathBuf, String) -> Error,
) -> Result<Option<T>> {
    if !bundle.has(file) {
        return Ok(None);
    }
    let read = read(&bundle.bytes(file)?);
    read.map(Some)
        .map_err(|why| refused(bundle.path(file), why))
}

/// That what was fitted is for vectors of the model's length; else what is wrong.
fn check_dim(found: usize, dim: usize) -> std::result::Result<(), String> {
    match found == dim {
        true => Ok(()),
        false => Err(format!("{found} numbers, not {dim}")),
    }
}

fn adaptation(bundle: &Bundle, dim: usize) -> Result<Option<Adaptation>> {
    if !bundle.has(files::ADAPTATION) {
        return Ok(None);
    }
    let path = bundle.path(files::ADAPTATION);
    let refused = |why| Error::Adaptation {
        path: path.clone(),
        why,
    };
    let read = Adaptation::from_bytes(&bundle.bytes(files::ADAPTATION)?);
    let (adaptation, record) = read.map_err(refused)?;
    if record.model != copy::identity(bundle)? {
        return Err(Error::OtherAdaptation { path });
    }
    check_dim(adaptation.dim(), dim).map_err(refused)?;
    Ok(Some(adaptation))
}
