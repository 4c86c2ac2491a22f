//! An ensemble of trained models: weights chosen on validation images, and a folder of all of them.

use std::ops::ControlFlow;
use std::path::Path;

use candle_core::Device;

use super::checkpoint::write_atomically;
use super::predict::predict;
use super::set::TrainingSet;
use super::to_json;
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::predictor::copy::{copy_network, remove_fitted};
use crate::predictor::ensemble::{EnsembleConfig, Member, combine, fit_weights};
use crate::predictor::{Prediction, Predictor, files};
use crate::text;

/// What models come to on validation images.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleFit {
    /// Each model with its weight and its mean cosine.
    pub members: Vec<(String, f64, f64)>,
    /// Mean cosine of all together.
    pub cosine: f64,
}

/// Chooses the weights of `models` on the images of `validation`, and writes the ensemble to `folder`:
/// those with a weight above 0. `observe` is told of images done, of how many.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, [`Error::Occupied`] if `folder` holds a model that is no
/// ensemble; else what is wrong with a model or a file.
pub fn ensemble(
    models: &[String],
    validation: &dyn TrainingSet,
    folder: &Path,
    device: &Device,
    observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<EnsembleFit> {
    let truths: Vec<&[f32]> = (0..validation.len())
        .map(|image| validation.embedding(image))
        .collect();
    if folder.join(files::CONFIG).exists() {
        return Err(Error::Occupied {
            path: folder.to_owned(),
        });
    }
    let mut rows = vec![];
    for (number, model) in models.iter().enumerate() {
        let predictor = Predictor::open(model, device)?;
        let image = |number| validation.image(number, 0);
        rows.push(predict(&predictor, truths.len(), &image, &mut |done| {
            observe(number * truths.len() + done, models.len() * truths.len())
        })?);
    }
    let weights = fit_weights(&rows, &truths);
    let all: Vec<Prediction> = (0..truths.len())
        .map(|image| {
            let weighted: Vec<(f64, &Prediction)> = weights
                .iter()
                .zip(&rows)
                .map(|(weight, row)| (*weight, &row[image]))
                .collect();
            combine(&weighted)
        })
        .collect();
    let fit = EnsembleFit {
        members: models
            .iter()
            .zip(&weights)
            .zip(&rows)
            .map(|((model, weight), row)| (model.clone(), *weight, mean_cosine(row, &truths)))
            .collect(),
        cosine: mean_cosine(&all, &truths),
    };
    write(&fit, folder)?;
    Ok(fit)
}

fn mean_cosine(predictions: &[Prediction], truths: &[&[f32]]) -> f64 {
    let cosines = predictions
        .iter()
        .zip(truths)
        .map(|(prediction, truth)| f64::from(text::cosine(&prediction.embedding, truth)));
    cosines.sum::<f64>() / truths.len().max(1) as f64
}

fn write(fit: &EnsembleFit, folder: &Path) -> Result<()> {
    let mut members = vec![];
    for (number, (model, weight, _)) in fit.members.iter().enumerate() {
        if *weight == 0.0 {
            continue;
        }
        let bundle = Bundle::open(model, files::CONFIG)?;
        let name = Path::new(model).file_name().unwrap_or_default();
        let own = format!("{}-{}", number + 1, name.to_string_lossy());
        let path = folder.join(&own);
        copy_network(&bundle, &path)?;
        members.push(Member {
            folder: own,
            weight: *weight,
        });
    }
    remove_fitted(folder)?;
    let path = folder.join(files::ENSEMBLE);
    let json = to_json(&EnsembleConfig { members }, &path)?;
    write_atomically(&path, json.as_bytes())
}
