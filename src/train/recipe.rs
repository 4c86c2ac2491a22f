//! A whole training run: targets, network, loop, and the model's folder.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::Device;
use serde::Serialize;

use super::checkpoint::{write_atomically, write_tensors};
use super::curriculum::Easiness;
use super::features::FeatureCache;
use super::fit::{Fit, FitOptions, FitOutcome, FitProgress};
use super::joint::JointTask;
use super::out;
use super::parameters::Parameters;
use super::provenance::{self, Origin, Ran};
use super::set::{Side, TrainingSet, mean_embedding_cosine};
use super::start::{Ground, Start};
use super::{targets, to_json};
use crate::bundle::Bundle;
use crate::data::source::Source;
use crate::data::split::Splitter;
use crate::data::vocabulary::{MAX_WORDS, Vocabulary};
use crate::dataset::manifest;
use crate::error::{Error, Result};
use crate::image::encoders::EncoderConfig;
use crate::image::preprocess::Preprocess;
use crate::predictor::config::PredictorConfig;
use crate::predictor::copy::{Beside, check_place, place, remove_fitted};
use crate::predictor::files;
use crate::predictor::network::Network;
use crate::text::SentenceEncoder;

/// What to train, on what, and where to.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The image encoder.
    pub encoder: EncoderConfig,
    /// How images are made ready for it.
    pub preprocess: Preprocess,
    /// What the network begins with.
    pub start: Start,
    /// Image-prompt pairs: the pocket world, or a folder as [`Sides`] take it.
    ///
    /// [`Sides`]: crate::data::pairs::Sides
    pub data: Source,
    /// Validation prompts drawn from the pocket world; a folder brings its own.
    pub validation_prompts: usize,
    /// The model's folder.
    pub folder: PathBuf,
    /// Where it is kept what frozen variables make of the images of a folder; else they make it again in each epoch.
    pub features: Option<FeatureCache>,
    /// Whether to go on from the folder's checkpoint.
    pub resume: bool,
    /// Whether a vocabulary head is trained, too.
    pub with_vocabulary: bool,
    /// Whether to record how well each training example is predicted, for a curriculum.
    pub record_easiness: bool,
    /// The folder of a run on the same examples that has recorded their easiness: they are then seen
    /// from easy to hard.
    pub curriculum: Option<PathBuf>,
    /// The command that asked for it, for the provenance.
    pub command: String,
    /// The commit that the program was built from, for the provenance.
    pub commit: String,
    /// Settings of the loop; its seed also draws the prompts and starts the network.
    pub fit: FitOptions,
}

/// Where a run records the easiness of its examples.
const EASINESS: &str = "easiness.safetensors";

/// Stages of a curriculum, as the paper has them for the U-Net; a shorter run has one an epoch.
const STAGES: usize = 4;

/// What a recipe reports while it runs.
#[derive(Debug)]
pub enum RecipeEvent<'a> {
    /// How far it is with telling what to train on from the rest, where a folder does not say.
    Sides(usize, usize),
    /// Prompts embedded so far, of how many.
    Targets(usize, usize),
    /// A step of pretraining has been done.
    Pretraining(FitProgress<'a>),
    /// A step has been done.
    Step(FitProgress<'a>),
}

/// `provenance.json`: where weights come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Provenance<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    /// What it began with: the digests of the models, if there were some.
    start: &'a str,
    /// What it was trained on, unless it is the pocket world.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<DataSet>,
    #[serde(flatten)]
    ran: Ran,
    curriculum: bool,
    train_prompts: usize,
    validation_prompts: usize,
    best_validation_cosine: f64,
    /// What always answering the mean training embedding gives on the same validation images.
    mean_embedding_cosine: f64,
}

/// A folder of images with prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct DataSet {
    /// The folder, as it was named.
    path: PathBuf,
    /// SHA-256 of its manifest, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_json_sha256: Option<String>,
}

impl DataSet {
    /// What a resumed run must share: a data set that names itself may have been moved.
    fn identity(&self) -> String {
        let sha256 = self.dataset_json_sha256.clone();
        sha256.unwrap_or_else(|| self.path.display().to_string())
    }
}

impl Recipe {
    /// Refuses the folder that [`Recipe::run`] would refuse, before anything long is done.
    ///
    /// # Errors
    /// [`Error::CheckpointExists`] and [`Error::Occupied`] if it holds another run or model, or what the run
    /// begins with, [`Error::InTheWay`] for something that would be read with the model. Else what is wrong with a file that
    /// the run begins with.
    pub fn check_folder(&self) -> Result<()> {
        self.beside()?;
        out::leftovers(&self.folder, &[""], self.resume).map(drop)
    }

    /// What is to lie beside the weights, if nothing is in its way.
    fn beside(&self) -> Result<Vec<Beside>> {
        if self.start.is_in(&self.folder) {
            return Err(Error::Occupied {
                path: self.folder.clone(),
            });
        }
        let beside = self.start.beside()?;
        check_place(&beside, &self.folder)?;
        Ok(beside)
    }

    /// Runs it; `observe` is told of progress and may stop it.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after a stop: a run with `resume` goes on from there. Else as for
    /// [`Recipe::check_folder`], or what went wrong with a file or a tensor.
    pub fn run(
        &self,
        sentences: &SentenceEncoder,
        device: &Device,
        observe: &mut dyn FnMut(RecipeEvent<'_>) -> ControlFlow<()>,
    ) -> Result<FitOutcome> {
        let beside = self.beside()?;
        out::prepare(&self.folder, &[""], self.resume)?;
        let mut splitter = Splitter {
            sentences,
            kept_in: Some(&self.folder),
            observe: &mut |done, total| observe(RecipeEvent::Sides(done, total)),
        };
        let (seed, validation_prompts) = (self.fit.seed, self.validation_prompts);
        let (training, validation) = Side::of(&self.data, seed, validation_prompts, &mut splitter)?;
        let texts = training.texts();
        let images = [training.images()?, validation.images()?];
        let max_words = if self.with_vocabulary { MAX_WORDS } else { 0 };
        let vocabulary = Vocabulary::of_prompts(&texts, max_words);

        let config = self.config(sentences);
        let data = self.data_set()?;
        let fingerprint = match &data {
            Some(data) => format!("{} of {}", sentences.fingerprint(&texts), data.identity()),
            None => sentences.fingerprint(&texts),
        };
        let validated = sentences.fingerprint(&validation.texts());
        // Before anything takes time.
        let curriculum = self.curriculum.as_ref().map(|folder| {
            let easiness = Easiness::read(&folder.join(EASINESS), &fingerprint)?;
            Ok::<_, Error>(easiness.curriculum(STAGES.min(self.fit.epochs)))
        });
        let curriculum = curriculum.transpose()?;
        let total = texts.len() + validation.texts().len();
        let mut done = 0;
        let mut set = |side: Side, file: &str| -> Result<Box<dyn TrainingSet>> {
            let texts = side.texts();
            let words = texts.iter().map(|text| vocabulary.numbers(text)).collect();
            let path = self.folder.join(file);
            let embeddings = targets::embeddings(&path, &texts, sentences, |count| {
                observe(RecipeEvent::Targets(done + count, total))
            })?;
            done += texts.len();
            Ok(side.with_targets(embeddings, words, &config.preprocess))
        };
        let training = set(training, "targets-train.safetensors")?;
        let validation = set(validation, "targets-validation.safetensors")?;

        place(&beside, &self.folder)?;
        let parameters =
            Parameters::new(self.fit.seed).zeros_below(self.start.fills(&self.encoder));
        let network = Network::new(
            &config,
            vocabulary.len(),
            &parameters.builder(device),
            &self.folder,
        )?;
        let ground = Ground {
            encoder: &self.encoder,
            preprocess: &config.preprocess,
            training: training.as_ref(),
            validation: validation.as_ref(),
            sentences,
            device,
            data: &fingerprint,
            resume: self.resume,
        };
        let trains = |name: &str| network.trains(name);
        self.start
            .fill(&parameters, &trains, &ground, &mut |progress| {
                observe(RecipeEvent::Pretraining(progress))
            })?;
        parameters.check_given()?;
        let json = to_json(&config, &self.folder.join(files::CONFIG))?;
        let (words, start) = (vocabulary.len(), self.start.identity()?);
        let identity = format!(
            "{json}{words} words, from {start}, on {fingerprint}, validated on {validated}, easiness recorded: {}",
            self.record_easiness
        );
        let mut task = JointTask::new(
            &network,
            &config.preprocess,
            device,
            training.as_ref(),
            validation.as_ref(),
        );
        if let Some(cache) = self.features.as_ref().filter(|_| network.has_frozen()) {
            let frozen = parameters.digest(|name| !network.trains(name))?;
            let encoder = self.encoder.frozen_part();
            let place = device.location();
            let made_by = format!("{:?} {encoder:?} {frozen} on {place:?}", self.preprocess);
            task = task.with_features(cache, &made_by, &images);
        }
        let mut vars = parameters.all();
        vars.retain(|(name, _)| network.trains(name));
        let mut fit = Fit::new(&task, vars, device, self.fit.clone(), identity)?;
        if let Some(curriculum) = curriculum {
            fit = fit.with_curriculum(curriculum);
        }
        let easiness_path = self.folder.join(EASINESS);
        let mut easiness = if self.record_easiness && self.resume && easiness_path.exists() {
            Easiness::read(&easiness_path, &fingerprint)?
        } else {
            Easiness::new(fingerprint.clone())
        };
        let outcome = fit.run(
            &self.folder,
            self.resume,
            &mut |progress| observe(RecipeEvent::Step(progress)),
            &mut |epoch| {
                if self.record_easiness {
                    easiness.record(epoch, task.cosines(0)?);
                    easiness.write(&easiness_path)?;
                }
                self.keep(&json, &vocabulary, &parameters)
            },
        )?;
        // A run that had ended does not write them again.
        Bundle::folder(&self.folder).tensors(files::WEIGHTS, &Device::Cpu)?;
        let record = Provenance {
            origin: Origin::new(&self.command, &self.commit),
            start: &start,
            data,
            ran: Ran::new(&self.fit, &outcome),
            curriculum: self.curriculum.is_some(),
            train_prompts: training.len(),
            validation_prompts: validation.len(),
            best_validation_cosine: outcome.best_score,
            mean_embedding_cosine: mean_embedding_cosine(training.as_ref(), validation.as_ref()),
        };
        provenance::write(&self.folder, &record)?;
        Ok(outcome)
    }

    fn config(&self, sentences: &SentenceEncoder) -> PredictorConfig {
        PredictorConfig {
            preprocess: self.preprocess.clone(),
            encoder: self.encoder.clone(),
            sentence_encoder: sentences.identity().clone(),
        }
    }

    /// Writes the model as it is now, its weights in half precision. What was fitted to earlier weights
    /// goes first.
    fn keep(&self, config: &str, vocabulary: &Vocabulary, parameters: &Parameters) -> Result<()> {
        remove_fitted(&self.folder)?;
        let metadata = HashMap::from([("command".to_owned(), self.command.clone())]);
        let halves = parameters.halves()?;
        write_tensors(&self.folder.join(files::WEIGHTS), &halves, metadata)?;
        let words = vocabulary.to_text();
        write_atomically(&self.folder.join(files::VOCABULARY), words.as_bytes())?;
        // Last: a folder without it is no model.
        write_atomically(&self.folder.join(files::CONFIG), config.as_bytes())
    }

    /// The folder that is trained on, if it is one.
    fn data_set(&self) -> Result<Option<DataSet>> {
        Ok(match &self.data {
            Source::Pocket { .. } => None,
            Source::Path(path) => Some(DataSet {
                path: path.clone(),
                dataset_json_sha256: manifest::sha256(path)?,
            }),
        })
    }
}
