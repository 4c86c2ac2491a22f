//! From images of a target domain to a model that is adapted to them.

use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::Device;

use super::checkpoint::write_atomically;
use super::predict::predict;
use super::set::Side;
use crate::adapt::{AdaptOptions, Adaptation, FitEvent, FitRecord, SourceDomain};
use crate::data::source::Source;
use crate::data::split::{Splitter, folder_of};
use crate::error::{Error, Result};
use crate::image::decode;
use crate::predictor::{Prediction, Predictor, bundle, copy, files};
use crate::text::SentenceEncoder;

/// Images that are predicted together.
const BATCH_IMAGES: usize = 32;

/// What to adapt, to what, and where to.
#[derive(Clone, Debug)]
pub struct AdaptRecipe {
    /// The model or ensemble: a built-in one or a folder.
    pub model: String,
    /// Image-prompt pairs as the model was trained on: the pocket world, or a folder.
    pub data: Source,
    /// Image files of the target domain.
    pub targets: Vec<PathBuf>,
    /// The adapted model's folder; the model's own, or another that gets a copy of it.
    pub folder: PathBuf,
    /// The command that asked for it, for the record.
    pub command: String,
    /// The commit that the program was built from, for the record.
    pub commit: String,
    /// Settings of the fit; their seed also draws the prompts of the pocket world.
    pub options: AdaptOptions,
}

/// What a recipe reports while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdaptEvent {
    /// Images of the target domain read and predicted so far, of how many.
    Targets(usize, usize),
    /// How far it is with telling training images from others, where a folder does not say.
    Sides(usize, usize),
    /// Prompts embedded so far, of how many.
    Prompts(usize, usize),
    /// Training images predicted so far, of how many.
    Source(usize, usize),
    /// How far the fit is.
    Fit(FitEvent),
}

/// What a recipe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptOutcome {
    /// Centroids of predictions for training images.
    pub centroids: usize,
    /// Images of the target domain that were adapted to.
    pub targets: usize,
    /// Files that could not be read as images.
    pub unreadable: usize,
}

impl AdaptRecipe {
    /// Runs it; `observe` is told of progress and may stop it. Files that cannot be read as images are
    /// warned of and left out. The folder is written last: what stops or fails before leaves nothing.
    /// A fitted confidence does not come along, since an adapted model answers otherwise.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after a stop, [`Error::NothingToAdapt`] if no file is an image,
    /// [`Error::OtherEncoder`] if the model predicts embeddings of another encoder than `sentences`,
    /// [`Error::Occupied`] if the folder holds another model, [`Error::Singular`] if alpha is too small;
    /// else what is wrong with a file.
    pub fn run(
        &self,
        sentences: &SentenceEncoder,
        device: &Device,
        observe: &mut dyn FnMut(AdaptEvent) -> ControlFlow<()>,
    ) -> Result<AdaptOutcome> {
        let bundle = bundle(&self.model)?;
        let predictor = Predictor::open_unadapted(&bundle, device)?;
        sentences.check(predictor.sentence_encoder())?;
        copy::check_free(&bundle, &self.folder)?;
        let model = copy::identity(&bundle)?;
        let targets = self.targets(&predictor, observe)?;
        if targets.is_empty() {
            return Err(Error::NothingToAdapt);
        }
        let mut splitter = Splitter {
            sentences,
            kept_in: folder_of(&self.model),
            observe: &mut |done, total| observe(AdaptEvent::Sides(done, total)),
        };
        let (source, _) = Side::of(&self.data, self.options.seed, 0, &mut splitter)?;
        let texts = source.texts();
        let count = texts.len();
        let embeddings =
            sentences.embed_with(&texts, |done| observe(AdaptEvent::Prompts(done, count)))?;
        let image = |number| source.image(number);
        let predictions = predict(&predictor, count, &image, &mut |done| {
            observe(AdaptEvent::Source(done, count))
        })?;
        let adaptation = Adaptation::fit(
            SourceDomain {
                predictions: &rows(&predictions),
                embeddings: embeddings.as_slice(),
            },
            &rows(&targets),
            sentences.dim(),
            self.options,
            &mut |event| observe(AdaptEvent::Fit(event)),
        )?;
        let outcome = AdaptOutcome {
            centroids: adaptation.len() - targets.len(),
            targets: targets.len(),
            unreadable: self.targets.len() - targets.len(),
        };
        let record = FitRecord {
            command: self.command.clone(),
            commit: self.commit.clone(),
            model,
            source_images: count,
            centroids: outcome.centroids,
            target_images: outcome.targets,
            gamma: self.options.gamma,
            alpha: self.options.alpha,
            seed: self.options.seed,
        };
        let bytes = adaptation.to_bytes(&record)?;
        copy::copy(&bundle, &self.folder)?;
        copy::remove_fitted(&self.folder)?;
        write_atomically(&self.folder.join(files::ADAPTATION), &bytes)?;
        Ok(outcome)
    }

    /// Predictions for those of the targets that are images, decoded one at a time, since one may be large.
    fn targets(
        &self,
        predictor: &Predictor,
        observe: &mut dyn FnMut(AdaptEvent) -> ControlFlow<()>,
    ) -> Result<Vec<Prediction>> {
        let mut predictions = vec![];
        let mut done = 0;
        for paths in self.targets.chunks(BATCH_IMAGES) {
            let mut images = vec![];
            for path in paths {
                if observe(AdaptEvent::Targets(done, self.targets.len())).is_break() {
                    return Err(Error::Cancelled);
                }
                done += 1;
                match decode::read_file(path).and_then(|bytes| decode::decode(&bytes)) {
                    Ok(image) => images.push(predictor.shrink(image)),
                    Err(error) => tracing::warn!("{} is left out: {error}", path.display()),
                }
            }
            let image = |number: usize| Ok(images[number].clone());
            let go_on = &mut |_| ControlFlow::Continue(());
            predictions.extend(predict(predictor, images.len(), &image, go_on)?);
        }
        Ok(predictions)
    }
}

/// Embeddings one after the other.
fn rows(predictions: &[Prediction]) -> Vec<f32> {
    let rows = predictions.iter().flat_map(|it| &it.embedding);
    rows.copied().collect()
}
