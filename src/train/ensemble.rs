//! An ensemble of trained models: weights chosen on validation images, and a folder of all of them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::checkpoint::write_atomically;
use super::predict::predict;
use super::set::Side;
use super::to_json;
use crate::bundle::Bundle;
use crate::data::source::Source;
use crate::data::split::{Splitter, folder_of};
use crate::error::{Error, Result};
use crate::files::remove;
use crate::predictor::copy::{beside, check_place, copy_network, remove_fitted};
use crate::predictor::ensemble::{EnsembleConfig, Member, combine, fit_weights};
use crate::predictor::{Prediction, Predictor, files};
use crate::text::{SentenceEncoder, mean_cosine};

/// What models come to on validation images.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleFit {
    /// Each model with its weight and its mean cosine.
    pub members: Vec<(String, f64, f64)>,
    /// Mean cosine of all together.
    pub cosine: f64,
}

/// Which models to bring together, what to choose their weights on, and where to.
#[derive(Clone, Debug)]
pub struct EnsembleRecipe {
    /// The models: built-in ones or folders.
    pub models: Vec<String>,
    /// Image-prompt pairs: the pocket world, or a folder as [`Sides`] take it.
    ///
    /// [`Sides`]: crate::data::pairs::Sides
    pub data: Source,
    /// The most validation images.
    pub images: usize,
    /// Seed of the images of the pocket world.
    pub seed: u64,
    /// The ensemble's folder.
    pub folder: PathBuf,
}

impl EnsembleRecipe {
    /// Chooses the weights on validation images, and writes the ensemble: those with a weight above 0.
    /// `observe` is told of images done, of how many.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks, [`Error::Occupied`] if the folder holds a model that is
    /// no ensemble, [`Error::InTheWay`] for something that would be read with a member; else what is wrong with a model or
    /// a file.
    pub fn run(
        &self,
        sentences: &SentenceEncoder,
        device: &Device,
        observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<EnsembleFit> {
        if self.folder.join(files::CONFIG).exists() {
            return Err(Error::Occupied {
                path: self.folder.clone(),
            });
        }
        let bundles = self.models.iter();
        let bundles = bundles.map(|model| Bundle::open(model, files::CONFIG));
        let bundles: Vec<Bundle> = bundles.collect::<Result<_>>()?;
        let mut splitter = Splitter {
            sentences,
            kept_in: self.models.first().and_then(|model| folder_of(model)),
            observe,
        };
        let validation = Side::validation(&self.data, self.seed, self.images, &mut splitter)?;
        let mut texts = validation.texts();
        texts.truncate(self.images);
        let truths = sentences.embed(&texts)?;
        let truths: Vec<&[f32]> = truths.rows().collect();
        let mut rows = vec![];
        for (number, model) in self.models.iter().enumerate() {
            let predictor = Predictor::open(model, device)?;
            sentences.check(predictor.sentence_encoder())?;
            let image = |number| validation.image(number);
            rows.push(predict(&predictor, truths.len(), &image, &mut |done| {
                observe(
                    number * truths.len() + done,
                    self.models.len() * truths.len(),
                )
            })?);
        }
        let fit = fit(&self.models, &rows, &truths);
        write(&fit, &bundles, &self.folder)?;
        Ok(fit)
    }
}

fn fit(models: &[String], rows: &[Vec<Prediction>], truths: &[&[f32]]) -> EnsembleFit {
    let weights = fit_weights(rows, truths);
    let all: Vec<Prediction> = (0..truths.len())
        .map(|image| {
            let weighted: Vec<(f64, &Prediction)> = weights
                .iter()
                .zip(rows)
                .map(|(weight, row)| (*weight, &row[image]))
                .collect();
            combine(&weighted)
        })
        .collect();
    EnsembleFit {
        members: models
            .iter()
            .zip(&weights)
            .zip(rows)
            .map(|((model, weight), row)| (model.clone(), *weight, cosine(row, truths)))
            .collect(),
        cosine: cosine(&all, truths),
    }
}

fn cosine(predictions: &[Prediction], truths: &[&[f32]]) -> f64 {
    let predicted = predictions.iter().map(|it| it.embedding.as_slice());
    mean_cosine(predicted.zip(truths.iter().copied()))
}

fn write(fit: &EnsembleFit, bundles: &[Bundle], folder: &Path) -> Result<()> {
    let path = folder.join(files::ENSEMBLE);
    let members = fit.members.iter().enumerate();
    let members = members.map(|(number, (model, weight, _))| {
        let name = Path::new(model).file_name().unwrap_or_default();
        Member {
            folder: format!("{}-{}", number + 1, name.to_string_lossy()),
            weight: *weight,
        }
    });
    let members = members.zip(bundles).filter(|(it, _)| it.weight != 0.0);
    let members: Vec<(Member, &Bundle)> = members.collect();
    for (member, bundle) in &members {
        check_place(&beside(bundle)?, &folder.join(&member.folder))?;
    }
    // What is there is no ensemble any more from its first member on.
    remove_fitted(folder)?;
    remove(&path)?;
    for (member, bundle) in &members {
        copy_network(bundle, &folder.join(&member.folder))?;
    }
    let members = members.into_iter().map(|(member, _)| member).collect();
    let json = to_json(&EnsembleConfig { members }, &path)?;
    write_atomically(&path, json.as_bytes())
}
