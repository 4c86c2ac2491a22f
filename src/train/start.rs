//! What a predictor's network begins with: nothing, another predictor, a tower that has been pretrained,
//! or the weights of a diffusion model.

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::checkpoint::write_tensors;
use super::contrast::ContrastTask;
use super::contrastive::Contrast;
use super::fit::{Fit, FitOptions, FitProgress};
use super::parameters::Parameters;
use super::set::TrainingSet;
use super::white_box::Parents;
use crate::bundle::Bundle;
use crate::diffusion::text_to_image::files as diffusion_files;
use crate::error::{Error, Result};
use crate::image::clip::{ClipConfig, ClipTower};
use crate::image::encoders::EncoderConfig;
use crate::image::preprocess::Preprocess;
use crate::image::published::PublishedEncoder;
use crate::models;
use crate::predictor::config::PredictorConfig;
use crate::predictor::copy::{Beside, beside};
use crate::predictor::files;
use crate::text::SentenceEncoder;
use crate::weights;

/// What a predictor's network begins with; what is not named here begins with random numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// Random numbers.
    Nothing,
    /// A predictor with the same encoder, whose encoder and embedding head go on learning. The vocabulary
    /// head begins anew, for its words are those of the new prompts.
    Predictor {
        /// A built-in predictor or a folder.
        model: String,
    },
    /// CLIP's tower, pretrained on the same images.
    Contrast {
        /// How.
        fit: FitOptions,
        /// Where its weights, checkpoint and log are kept.
        folder: PathBuf,
    },
    /// An encoder as it is published.
    Published {
        /// Its folder.
        folder: PathBuf,
    },
    /// The white box: a diffusion model, and what captions images for it.
    Diffusion {
        /// A built-in diffusion model or a folder.
        model: String,
        /// A built-in predictor, the folder of one, or that of a BLIP.
        captioner: String,
    },
}

/// The variables of an encoder.
const ENCODER: &str = "encoder.";

/// Those that another predictor gives.
const PREDICTOR: [&str; 2] = [ENCODER, "heads.embedding."];

/// Those of a CLIP's tower.
const TOWER: [&str; 2] = ["encoder.vision_model.", "encoder.visual_projection."];

/// Pairs that are told from each other in pretraining: what one worker of a CPU sees, however many there
/// are. A graphics processor sees the whole batch.
const CONTRASTED: usize = 32;

/// Pairs a step of pretraining, at least.
const TOWER_BATCH: usize = 2 * CONTRASTED;

/// The encoder of a predictor to begin with, and how images are made ready for it.
///
/// # Errors
/// If it is not there or is damaged.
pub fn pretrained(model: &str) -> Result<PredictorConfig> {
    Bundle::open(model, files::CONFIG)?.json(files::CONFIG)
}

/// A published encoder to begin with, and how images are made ready for it. On a CLIP stands the perceptron of
/// the paper (docs/method.md).
///
/// # Errors
/// What [`PublishedEncoder::open`] says.
pub fn published(folder: &Path) -> Result<(EncoderConfig, Preprocess)> {
    let checked = PublishedEncoder::open(folder)?;
    let (mut config, preprocess) = (checked.config.clone(), checked.preprocess.clone());
    // Sizes that its weights speak against are told before a network of them fills the memory.
    checked.build(&Device::Cpu, |vb| checked.config.build(vb, folder))?;
    if let EncoderConfig::Clip(clip) = &mut config {
        clip.trunk_widths = vec![PAPER_TRUNK_WIDTH; 2];
    }
    Ok((config, preprocess))
}

/// Width of the perceptron's layers on a published CLIP.
const PAPER_TRUNK_WIDTH: usize = 8192;

/// What a start is made from.
pub(super) struct Ground<'a> {
    pub(super) encoder: &'a EncoderConfig,
    pub(super) preprocess: &'a Preprocess,
    pub(super) training: &'a dyn TrainingSet,
    pub(super) validation: &'a dyn TrainingSet,
    pub(super) sentences: &'a SentenceEncoder,
    pub(super) device: &'a Device,
    /// What tells the training examples from others.
    pub(super) data: &'a str,
    pub(super) resume: bool,
}

impl Start {
    /// What a resumed run must share: the contents of the files that it begins with.
    ///
    /// # Errors
    /// If a model is not there.
    pub(super) fn identity(&self) -> Result<String> {
        Ok(match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Predictor { model } => {
                Bundle::open(model, files::CONFIG)?.digest(&[files::CONFIG, files::WEIGHTS])?
            }
            Self::Contrast { fit, .. } => format!("a tower by {fit:?}"),
            Self::Published { folder } => {
                models::fingerprint(PublishedEncoder::open(folder)?.files())?
            }
            Self::Diffusion { model, captioner } => Parents::open(model, captioner)?.identity()?,
        })
    }

    /// Whether the run would overwrite what it begins with.
    pub(super) fn is_in(&self, folder: &Path) -> bool {
        let is_there = |model: &str, main| {
            let built_in = Bundle::open(model, main).is_ok_and(|it| it.is_built_in());
            let [own, start] = [folder, Path::new(model)].map(fs::canonicalize);
            !built_in && own.is_ok_and(|own| start.is_ok_and(|start| own == start))
        };
        match self {
            Self::Nothing | Self::Contrast { .. } => false,
            Self::Predictor { model } => is_there(model, files::CONFIG),
            Self::Published { folder } => is_there(&folder.to_string_lossy(), files::CONFIG),
            Self::Diffusion { model, captioner } => {
                is_there(model, diffusion_files::UNET_CONFIG) || is_there(captioner, files::CONFIG)
            }
        }
    }

    /// What the names of those variables begin with that [`fill`](Self::fill) sets.
    pub(super) fn fills(&self, encoder: &EncoderConfig) -> &'static [&'static str] {
        match (self, encoder) {
            (Self::Nothing, _) => &[],
            (Self::Predictor { .. }, _) => &PREDICTOR,
            // What stands on a CLIP begins with random numbers.
            (_, EncoderConfig::Clip(_)) => &TOWER,
            _ => &[ENCODER],
        }
    }

    /// What the network reads beside its weights, and what the run's folder must have before it is built.
    ///
    /// # Errors
    /// If a model is not there.
    pub(super) fn beside(&self) -> Result<Vec<Beside>> {
        match self {
            Self::Diffusion { model, captioner } => Ok(Parents::open(model, captioner)?.beside()),
            Self::Predictor { model } => beside(&Bundle::open(model, files::CONFIG)?),
            Self::Nothing | Self::Contrast { .. } | Self::Published { .. } => Ok(vec![]),
        }
    }

    /// Puts the first weights into `parameters`; `trains` tells which of them the run will change.
    pub(super) fn fill(
        &self,
        parameters: &Parameters,
        trains: &dyn Fn(&str) -> bool,
        ground: &Ground<'_>,
        observe: &mut dyn FnMut(FitProgress<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        match (self, ground.encoder) {
            (Self::Predictor { model }, _) => predictor(parameters, model, ground)?,
            (Self::Published { folder }, encoder) => {
                published_weights(parameters, folder, self.fills(encoder), ground.device)?;
            }
            (Self::Contrast { fit, folder }, EncoderConfig::Clip(config)) => {
                let tower = tower(config, fit, folder, ground, observe)?;
                for prefix in TOWER {
                    parameters.fill(prefix, &below(&tower, &prefix[ENCODER.len()..]))?;
                }
            }
            (Self::Diffusion { model, captioner }, EncoderConfig::UNet(_)) => {
                Parents::open(model, captioner)?.fill(
                    parameters,
                    ground.sentences,
                    ground.device,
                )?;
            }
            (Self::Contrast { .. } | Self::Diffusion { .. }, encoder) => {
                return Err(Error::UnfitStart {
                    encoder: encoder.name(),
                });
            }
            (Self::Nothing, encoder) => {
                if let Some((name, _)) = parameters.all().iter().find(|(name, _)| !trains(name)) {
                    return Err(Error::NoStart {
                        encoder: encoder.name(),
                        variable: name.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Trains a tower in a folder of its own, or goes on there.
fn tower(
    config: &ClipConfig,
    options: &FitOptions,
    folder: &Path,
    ground: &Ground<'_>,
    observe: &mut dyn FnMut(FitProgress<'_>) -> ControlFlow<()>,
) -> Result<HashMap<String, Tensor>> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let parameters = Parameters::new(options.seed);
    let vb = parameters.builder(ground.device);
    let tower = ClipTower::new(&config.vision_config, vb.pp("tower"))?;
    let dim = ground.sentences.dim();
    let contrast = Contrast::new(dim, config.vision_config.projection_dim, vb.pp("contrast"))?;
    let task = ContrastTask {
        tower: &tower,
        contrast: &contrast,
        preprocess: ground.preprocess,
        device: ground.device,
        training: ground.training,
        validation: ground.validation,
    };
    let identity = format!(
        "{:?}, {}, on {}",
        config.vision_config,
        ground.sentences.identity().sha256,
        ground.data
    );
    let path = folder.join(files::WEIGHTS);
    let batch_size = options.batch_size.max(TOWER_BATCH);
    let options = FitOptions {
        batch_size,
        threads: batch_size / CONTRASTED,
        // Fewer pairs would be told from each other.
        accumulate: 1,
        ..options.clone()
    };
    let mut fit = Fit::new(&task, parameters.all(), ground.device, options, identity)?;
    // A tower that is whole is not trained again: its checkpoint says whether it is this one.
    let resume = ground.resume || path.exists();
    fit.run(folder, resume, observe, &mut |_| {
        write_tensors(&path, &parameters.halves()?, HashMap::new())
    })?;
    Ok(below(&weights::tensors(&path, ground.device)?, "tower."))
}

/// The tensors whose names begin with `prefix`, without it.
fn below(tensors: &HashMap<String, Tensor>, prefix: &str) -> HashMap<String, Tensor> {
    let own = |(name, tensor): (&String, &Tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
    };
    tensors.iter().filter_map(own).collect()
}

/// Puts a predictor's encoder and embedding head into the network.
fn predictor(parameters: &Parameters, model: &str, ground: &Ground<'_>) -> Result<()> {
    let config = pretrained(model)?;
    ground.sentences.check(&config.sentence_encoder)?;
    if config.encoder != *ground.encoder || config.preprocess != *ground.preprocess {
        return Err(Error::OtherNetwork {
            model: model.to_owned(),
        });
    }
    let tensors = Bundle::open(model, files::CONFIG)?.tensors(files::WEIGHTS, ground.device)?;
    for prefix in PREDICTOR {
        parameters.fill(prefix, &below(&tensors, prefix))?;
    }
    Ok(())
}

/// Puts a published encoder into the network, whose names begin with `prefixes`.
fn published_weights(
    parameters: &Parameters,
    folder: &Path,
    prefixes: &[&str],
    device: &Device,
) -> Result<()> {
    let wanted = |name: &String| {
        let name = format!("{ENCODER}{name}");
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut names = parameters.below(ENCODER);
    names.retain(wanted);
    let tensors = PublishedEncoder::open(folder)?.tensors(&names, device)?;
    let tensors: HashMap<String, Tensor> = names.into_iter().zip(tensors).collect();
    for prefix in prefixes {
        parameters.fill(prefix, &below(&tensors, &prefix[ENCODER.len()..]))?;
    }
    Ok(())
}
