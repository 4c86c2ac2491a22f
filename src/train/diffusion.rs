//! From pocket prompts to a diffusion model: the autoencoder first, then the U-Net on its latents. The
//! folder is laid out as diffusers does it.

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use half::f16;
use rayon::prelude::*;
use serde::Serialize;

use super::autoencoder::AutoencoderTask;
use super::checkpoint::{write_atomically, write_tensors};
use super::denoise::{DenoiseTask, LatentSet};
use super::fit::{Fit, FitOptions, FitOutcome, FitProgress};
use super::out;
use super::parameters::Parameters;
use super::provenance::{self, Origin, Ran};
use crate::bundle::Bundle;
use crate::diffusion::schedule::{NoiseSchedule, ScheduleConfig};
use crate::diffusion::text_to_image::{ModelIndex, files};
use crate::diffusion::unet::UNet;
use crate::diffusion::unet::config::UNetConfig;
use crate::diffusion::vae::autoencoder::{AutoencoderConfig, AutoencoderKl};
use crate::diffusion::vae::space_to_depth::SpaceToDepthConfig;
use crate::diffusion::vae::{CodecConfig, LatentCodec};
use crate::error::{Error, Result};
use crate::image::preprocess::Preprocess;
use crate::pocket::{PocketPrompt, Prompts, Split, render};
use crate::text::{SentenceEncoder, TokenStates};
use crate::weights;

/// Which codec makes the latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecKind {
    /// The autoencoder, trained first.
    Autoencoder,
    /// The yardstick, which learns nothing.
    SpaceToDepth,
}

/// What to train, on what, and where to.
#[derive(Clone, Debug)]
pub struct DiffusionRecipe {
    /// Training prompts drawn from the pocket world.
    pub prompts: usize,
    /// Validation prompts drawn from the pocket world.
    pub validation_prompts: usize,
    /// Images of each prompt that the U-Net sees.
    pub variants: usize,
    /// What makes the latents.
    pub codec: CodecKind,
    /// The model's folder.
    pub folder: PathBuf,
    /// Whether to go on from the folder's checkpoints.
    pub resume: bool,
    /// The command that asked for it, for the provenance.
    pub command: String,
    /// The commit that the program was built from, for the provenance.
    pub commit: String,
    /// Settings of the autoencoder's loop; its seed also draws prompts.
    pub autoencoder: FitOptions,
    /// Settings of the U-Net's loop.
    pub unet: FitOptions,
}

/// What a recipe reports while it runs.
#[derive(Debug)]
pub enum DiffusionEvent<'a> {
    /// A step of the autoencoder has been done.
    Autoencoder(FitProgress<'a>),
    /// Images encoded so far, of how many.
    Latents(usize, usize),
    /// Prompts encoded so far, of how many.
    States(usize, usize),
    /// A step of the U-Net has been done.
    UNet(FitProgress<'a>),
}

/// What a recipe came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiffusionOutcome {
    /// The autoencoder's peak signal-to-noise ratio on validation images in decibels, if it was
    /// trained.
    pub psnr: Option<f64>,
    /// The U-Net's share of explained variance on validation images.
    pub explained: f64,
}

/// `provenance.json`: where weights come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Provenance<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    train_prompts: usize,
    validation_prompts: usize,
    images_per_prompt: usize,
    autoencoder: Option<Part>,
    unet: Part,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Part {
    #[serde(flatten)]
    ran: Ran,
    score: &'static str,
    best_validation_score: f64,
}

impl Part {
    fn new(options: &FitOptions, outcome: &FitOutcome, score: &'static str) -> Self {
        Self {
            ran: Ran::new(options, outcome),
            score,
            best_validation_score: outcome.best_score,
        }
    }
}

type Observe<'o> = &'o mut dyn FnMut(DiffusionEvent<'_>) -> ControlFlow<()>;

/// Images encoded at once.
const BATCH_IMAGES: usize = 16;

/// Images that the scale of the latents is measured on.
const SCALE_IMAGES: usize = 2000;

impl DiffusionRecipe {
    /// Runs it; `observe` is told of progress and may stop it.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after a stop: a run with `resume` goes on from there.
    /// [`Error::CheckpointExists`], [`Error::Occupied`] and [`Error::OtherRun`] if the folder holds another run or model.
    /// Else what went wrong with a file or a tensor.
    pub fn run(
        &self,
        sentences: &SentenceEncoder,
        device: &Device,
        observe: Observe<'_>,
    ) -> Result<DiffusionOutcome> {
        out::prepare(&self.folder, &["vae", "unet"], self.resume)?;
        self.check_codec()?;
        for part in ["vae", "unet", "scheduler"] {
            let folder = self.folder.join(part);
            fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        }
        let draw = |split, count| -> Vec<PocketPrompt> {
            let seed = self.autoencoder.seed;
            Prompts::new(seed, split).take(count).collect()
        };
        let training = draw(Split::Train, self.prompts);
        let validation = draw(Split::Validation, self.validation_prompts);
        let autoencoder = match self.codec {
            CodecKind::Autoencoder => {
                Some(self.fit_autoencoder(&training, &validation, device, observe)?)
            }
            CodecKind::SpaceToDepth => None,
        };
        let codec = self.scaled_codec(&training, device)?;

        let total = training.len() + validation.len();
        let mut done = 0;
        let mut set = |prompts: &[PocketPrompt], variants: usize, observe: Observe<'_>| {
            let before = done;
            done += prompts.len();
            self.latent_set(
                codec.as_ref(),
                prompts,
                variants,
                sentences,
                device,
                &mut |event| {
                    observe(match event {
                        DiffusionEvent::States(count, _) => {
                            DiffusionEvent::States(before + count, total)
                        }
                        other => other,
                    })
                },
            )
        };
        let training = set(&training, self.variants, observe)?;
        let validation = set(&validation, 1, observe)?;
        let unet = self.fit_unet(&training, &validation, sentences, device, observe)?;
        self.write_provenance(autoencoder.as_ref(), &unet)?;
        Ok(DiffusionOutcome {
            psnr: autoencoder.map(|outcome| outcome.best_score),
            explained: unet.best_score,
        })
    }

    /// Refuses to go on with a run of another codec, whose sizes would be written over.
    fn check_codec(&self) -> Result<()> {
        let there = Bundle::folder(&self.folder);
        if !there.has(files::VAE_CONFIG) {
            return Ok(());
        }
        let found = match there.json(files::VAE_CONFIG)? {
            CodecConfig::AutoencoderKl(_) => CodecKind::Autoencoder,
            CodecConfig::SpaceToDepth(_) => CodecKind::SpaceToDepth,
        };
        match found == self.codec {
            true => Ok(()),
            false => Err(Error::OtherRun {
                path: there.path(files::VAE_CONFIG),
                expected: format!("{:?}", self.codec),
                found: format!("{found:?}"),
            }),
        }
    }

    fn fit_autoencoder(
        &self,
        training: &[PocketPrompt],
        validation: &[PocketPrompt],
        device: &Device,
        observe: Observe<'_>,
    ) -> Result<FitOutcome> {
        let config = AutoencoderConfig::pocket();
        let parameters = Parameters::orthogonal(self.autoencoder.seed);
        let network = AutoencoderKl::new(&config, &parameters.builder(device))?;
        let preprocess = Preprocess::symmetric(render::SIDE as usize);
        let task = AutoencoderTask {
            network: &network,
            preprocess: &preprocess,
            device,
            training,
            validation,
        };
        let (vars, options) = (parameters.all(), self.autoencoder.clone());
        let identity = self.to_json(&config, files::VAE_CONFIG)?;
        let mut fit = Fit::new(&task, vars, device, options, identity)?;
        fit.run(
            &self.folder.join("vae"),
            self.resume,
            &mut |progress| observe(DiffusionEvent::Autoencoder(progress)),
            &mut |_| self.keep(&parameters, files::VAE_WEIGHTS),
        )
    }

    /// The codec as others will load it, scaled so that latents have mean 0 and variance 1.
    fn scaled_codec(
        &self,
        training: &[PocketPrompt],
        device: &Device,
    ) -> Result<Box<dyn LatentCodec>> {
        let open = |config: &CodecConfig| -> Result<Box<dyn LatentCodec>> {
            let path = self.folder.join(files::VAE_WEIGHTS);
            let vb = match config {
                CodecConfig::AutoencoderKl(_) => weights::open(&path, DType::F32, device)?,
                CodecConfig::SpaceToDepth(_) => VarBuilder::zeros(DType::F32, device),
            };
            config
                .open(&vb)
                .map_err(|source| weights::failed(&path, source))
        };
        let config = |shift: f64, scale: f64| match self.codec {
            CodecKind::Autoencoder => CodecConfig::AutoencoderKl(AutoencoderConfig {
                scaling_factor: scale,
                shift_factor: Some(shift),
                ..AutoencoderConfig::pocket()
            }),
            CodecKind::SpaceToDepth => CodecConfig::SpaceToDepth(SpaceToDepthConfig {
                factor: 4,
                scaling_factor: scale,
                shift_factor: shift,
            }),
        };
        let unscaled = open(&config(0.0, 1.0))?;
        let sample = &training[..training.len().min(SCALE_IMAGES)];
        let latents = encode(unscaled.as_ref(), sample, 1, device, &mut |_| {
            ControlFlow::Continue(())
        })?;
        let values = || latents.iter().map(|half| half.to_f64());
        let count = latents.len().max(1) as f64;
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let config = config(mean, 1.0 / variance.sqrt().max(1e-6));
        self.write(files::VAE_CONFIG, &config)?;
        open(&config)
    }

    fn latent_set(
        &self,
        codec: &dyn LatentCodec,
        prompts: &[PocketPrompt],
        variants: usize,
        sentences: &SentenceEncoder,
        device: &Device,
        observe: Observe<'_>,
    ) -> Result<LatentSet> {
        let side = render::SIDE as usize / codec.factor();
        let images = prompts.len() * variants;
        let latents = encode(codec, prompts, variants, device, &mut |done| {
            observe(DiffusionEvent::Latents(done, images))
        })?;
        let texts: Vec<&str> = prompts.iter().map(|prompt| prompt.text.as_str()).collect();
        let states = sentences.states_with(&texts, |done| {
            observe(DiffusionEvent::States(done, prompts.len()))
        })?;
        Ok(LatentSet {
            latents,
            shape: (codec.channels(), side, side),
            variants,
            states,
        })
    }

    fn fit_unet(
        &self,
        training: &LatentSet,
        validation: &LatentSet,
        sentences: &SentenceEncoder,
        device: &Device,
        observe: Observe<'_>,
    ) -> Result<FitOutcome> {
        let config = UNetConfig::pocket(training.shape.0, sentences.dim());
        let schedule = ScheduleConfig::pocket();
        let index = ModelIndex {
            sentence_encoder: sentences.identity().clone(),
        };
        let parameters = Parameters::new(self.unet.seed);
        let network = UNet::new(&config, &parameters.builder(device))?;
        let empty: TokenStates = sentences.states_with(&[""], |_| ControlFlow::Continue(()))?;
        let task = DenoiseTask {
            network: &network,
            schedule: &NoiseSchedule::new(&schedule)?,
            device,
            training,
            validation,
            empty: &empty.text(0),
        };
        let (vars, options) = (parameters.all(), self.unet.clone());
        let folder = self.folder.to_string_lossy();
        let codec = Bundle::open(&folder, files::VAE_CONFIG)?;
        let identity = format!(
            "{}on the latents of {}, {} a prompt, told by {}",
            self.to_json(&config, files::UNET_CONFIG)?,
            codec.digest(&[files::VAE_CONFIG, files::VAE_WEIGHTS])?,
            self.variants,
            sentences.identity().sha256
        );
        let mut fit = Fit::new(&task, vars, device, options, identity)?;
        fit.run(
            &self.folder.join("unet"),
            self.resume,
            &mut |progress| observe(DiffusionEvent::UNet(progress)),
            &mut |_| {
                self.keep(&parameters, files::UNET_WEIGHTS)?;
                self.write(files::SCHEDULER_CONFIG, &schedule)?;
                self.write(files::INDEX, &index)?;
                // Last: a folder without it is no model.
                self.write(files::UNET_CONFIG, &config)
            },
        )
    }

    /// Writes weights as they are now, in half precision.
    fn keep(&self, parameters: &Parameters, file: &str) -> Result<()> {
        let metadata = HashMap::from([("command".to_owned(), self.command.clone())]);
        write_tensors(&self.folder.join(file), &parameters.halves()?, metadata)
    }

    fn write(&self, file: &str, value: &impl Serialize) -> Result<()> {
        let json = self.to_json(value, file)?;
        write_atomically(&self.folder.join(file), json.as_bytes())
    }

    fn to_json(&self, value: &impl Serialize, file: &str) -> Result<String> {
        super::to_json(value, &self.folder.join(file))
    }

    fn write_provenance(&self, autoencoder: Option<&FitOutcome>, unet: &FitOutcome) -> Result<()> {
        let provenance = Provenance {
            origin: Origin::new(&self.command, &self.commit),
            train_prompts: self.prompts,
            validation_prompts: self.validation_prompts,
            images_per_prompt: self.variants,
            autoencoder: autoencoder
                .map(|outcome| Part::new(&self.autoencoder, outcome, "psnr in decibels")),
            unet: Part::new(&self.unet, unet, "share of explained variance"),
        };
        provenance::write(&self.folder, &provenance)
    }
}

/// Latents of `variants` images of each prompt, one after the other, in half precision.
fn encode(
    codec: &dyn LatentCodec,
    prompts: &[PocketPrompt],
    variants: usize,
    device: &Device,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<f16>> {
    let preprocess = Preprocess::symmetric(render::SIDE as usize);
    let encode_batch = |batch: &[PocketPrompt]| -> Result<Vec<f16>> {
        let images: Vec<_> = batch
            .iter()
            .flat_map(|prompt| {
                (0..variants as u64).map(|variant| {
                    render::render(prompt.meaning, prompt.seed.wrapping_add(variant))
                })
            })
            .collect();
        let latents = codec.encode(&preprocess.batch(&images, device)?)?;
        let halves: Tensor = latents.flatten_all()?.to_dtype(DType::F16)?;
        Ok(halves.to_vec1()?)
    };
    let mut latents = vec![];
    let mut done = 0;
    // Large pieces, so that the cores are busy and progress is still told.
    for piece in prompts.chunks(BATCH_IMAGES * 16) {
        let batches: Vec<Vec<f16>> = piece
            .par_chunks(BATCH_IMAGES)
            .map(encode_batch)
            .collect::<Result<_>>()?;
        batches.iter().for_each(|batch| latents.extend(batch));
        done += piece.len() * variants;
        if observe(done).is_break() {
            return Err(Error::Cancelled);
        }
    }
    Ok(latents)
}
