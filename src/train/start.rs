//! What a predictor's network begins with: nothing, a tower that has been pretrained, or the weights of
//! a diffusion model.

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
use crate::bundle::Bundle;
use crate::data::vocabulary::Vocabulary;
use crate::diffusion::text_to_image::files as diffusion_files;
use crate::error::{Error, Result};
use crate::image::clip::{ClipConfig, ClipTower};
use crate::image::encoders::EncoderConfig;
use crate::image::preprocess::Preprocess;
use crate::image::unet::{CaptionerConfig, UNetEncoderConfig};
use crate::predictor::config::PredictorConfig;
use crate::predictor::files;
use crate::text::SentenceEncoder;
use crate::weights;

/// What the encoder of a predictor begins with.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// Random numbers.
    Nothing,
    /// CLIP's tower, pretrained on the same images.
    Contrast {
        /// How.
        fit: FitOptions,
        /// Where its weights, checkpoint and log are kept.
        folder: PathBuf,
    },
    /// The white box: a diffusion model, and the black-box model that captions for it.
    Diffusion {
        /// A built-in diffusion model or a folder.
        model: String,
        /// A built-in predictor or a folder.
        captioner: String,
    },
}

/// Words of a caption.
const CAPTION_WORDS: usize = 8;

/// The sizes of the white box that a diffusion model and a black-box model make.
///
/// # Errors
/// If either is not there or is damaged.
pub fn white_box(model: &str, captioner: &str) -> Result<EncoderConfig> {
    let model = Bundle::open(model, diffusion_files::UNET_CONFIG)?;
    let captioner = Bundle::open(captioner, files::CONFIG)?;
    let unet: crate::diffusion::unet::config::UNetConfig =
        model.json(diffusion_files::UNET_CONFIG)?;
    let black_box: PredictorConfig = captioner.json(files::CONFIG)?;
    let vocabulary = words(&captioner)?.len();
    Ok(EncoderConfig::UNet(UNetEncoderConfig {
        captioner: CaptionerConfig {
            encoder: Box::new(black_box.encoder),
            embedding: black_box.sentence_encoder.dim,
            vocabulary,
            words: CAPTION_WORDS,
            context: unet.cross_attention_dim,
        },
        vae: model.json(diffusion_files::VAE_CONFIG)?,
        unet,
        pool: 2,
    }))
}

fn words(captioner: &Bundle) -> Result<Vocabulary> {
    let text = captioner.text(files::VOCABULARY)?;
    Vocabulary::from_text(&text, &captioner.path(files::VOCABULARY))
}

/// What a start is made from.
pub(super) struct Ground<'a> {
    pub(super) encoder: &'a EncoderConfig,
    pub(super) preprocess: &'a Preprocess,
    pub(super) training: &'a dyn TrainingSet,
    pub(super) validation: &'a dyn TrainingSet,
    pub(super) sentences: &'a SentenceEncoder,
    pub(super) device: &'a Device,
    pub(super) resume: bool,
}

impl Start {
    /// Puts the first weights into `parameters`.
    pub(super) fn fill(
        &self,
        parameters: &Parameters,
        ground: &Ground<'_>,
        observe: &mut dyn FnMut(FitProgress<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        match (self, ground.encoder) {
            (Self::Contrast { fit, folder }, EncoderConfig::Clip(config)) => {
                let tower = pretrained(config, fit, folder, ground, observe)?;
                parameters.fill("encoder.", &tower)?;
            }
            (Self::Diffusion { model, captioner }, EncoderConfig::UNet(_)) => {
                diffusion(parameters, model, captioner, ground)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Trains a tower in a folder of its own, or goes on there.
fn pretrained(
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
    let identity = format!("{:?}", config.vision_config);
    let path = folder.join(files::WEIGHTS);
    let mut fit = Fit::new(
        &task,
        parameters.all(),
        ground.device,
        options.clone(),
        identity,
    )?;
    // A tower that is whole, or half done, is gone on with: its checkpoint says whether it is this one.
    let resume = ground.resume || path.exists();
    fit.run(folder, resume, observe, &mut || {
        write_tensors(&path, &parameters.halves()?, HashMap::new())
    })?;
    let kept = weights::tensors(&path, ground.device)?;
    let own =
        |(name, tensor): (String, Tensor)| Some((name.strip_prefix("tower.")?.to_owned(), tensor));
    Ok(kept.into_iter().filter_map(own).collect())
}

/// Puts a diffusion model's way down, its codec and a captioner into the white box.
fn diffusion(
    parameters: &Parameters,
    model: &str,
    captioner: &str,
    ground: &Ground<'_>,
) -> Result<()> {
    let model = Bundle::open(model, diffusion_files::UNET_CONFIG)?;
    let unet = model.tensors(diffusion_files::UNET_WEIGHTS, ground.device)?;
    parameters.fill("encoder.unet.", &way_down(unet))?;
    if model.has(diffusion_files::VAE_WEIGHTS) {
        let codec = model.tensors(diffusion_files::VAE_WEIGHTS, ground.device)?;
        parameters.fill("encoder.codec.", &codec)?;
    }
    let captioner = Bundle::open(captioner, files::CONFIG)?;
    let mut black_box = captioner.tensors(files::WEIGHTS, ground.device)?;
    black_box.insert("states".to_owned(), states(&words(&captioner)?, ground)?);
    parameters.fill("encoder.captioner.", &black_box)
}

/// Those weights of a U-Net that its encoder half has.
pub(super) fn way_down(unet: HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    const PARTS: [&str; 4] = ["conv_in.", "time_embedding.", "down_blocks.", "mid_block."];
    let mut unet = unet;
    unet.retain(|name, _| PARTS.iter().any(|part| name.starts_with(part)));
    unet
}

/// The mean state of the empty text's tokens, then of each word's.
fn states(words: &Vocabulary, ground: &Ground<'_>) -> Result<Tensor> {
    let mut texts = vec![""];
    texts.extend(words.words().iter().map(String::as_str));
    let states = ground
        .sentences
        .states_with(&texts, |_| ControlFlow::Continue(()))?;
    let dim = states.dim();
    let mut means = vec![0f32; texts.len() * dim];
    for (text, mean) in means.chunks_exact_mut(dim).enumerate() {
        let tokens = states.text(text);
        let count = (tokens.len() / dim).max(1) as f32;
        for token in tokens.chunks_exact(dim) {
            for (mean, value) in mean.iter_mut().zip(token) {
                *mean += value / count;
            }
        }
    }
    Ok(Tensor::from_vec(means, (texts.len(), dim), ground.device)?)
}
