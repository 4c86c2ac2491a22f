//! A diffusion model, loaded: prompts in, images out.

use std::ops::ControlFlow;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::sampler::SamplerKind;
use super::schedule::{NoiseSchedule, ScheduleConfig};
use super::unet::UNet;
use super::unet::config::UNetConfig;
use super::vae::{CodecConfig, LatentCodec};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::random;
use crate::text::{EncoderIdentity, SentenceEncoder, TokenStates};

/// Names of the files in a model's folder, as diffusers lays it out.
pub mod files {
    /// What the parts are.
    pub const INDEX: &str = "model_index.json";
    /// The codec's sizes.
    pub const VAE_CONFIG: &str = "vae/config.json";
    /// The codec's weights.
    pub const VAE_WEIGHTS: &str = "vae/diffusion_pytorch_model.safetensors";
    /// The U-Net's sizes.
    pub const UNET_CONFIG: &str = "unet/config.json";
    /// The U-Net's weights.
    pub const UNET_WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";
    /// The noise schedule.
    pub const SCHEDULER_CONFIG: &str = "scheduler/scheduler_config.json";

    /// All of them.
    pub(super) const ALL: [&str; 6] = [
        INDEX,
        VAE_CONFIG,
        VAE_WEIGHTS,
        UNET_CONFIG,
        UNET_WEIGHTS,
        SCHEDULER_CONFIG,
    ];
}

/// `model_index.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelIndex {
    /// The sentence encoder whose token states the U-Net attends to.
    pub sentence_encoder: EncoderIdentity,
}

/// How images are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GenerateOptions {
    /// The way through the steps.
    pub sampler: SamplerKind,
    /// Steps from noise to image.
    pub steps: usize,
    /// How far each step goes beyond what the negative prompt says (Ho & Salimans, 2022); 1 leaves the
    /// negative prompt out.
    pub guidance: f64,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            sampler: SamplerKind::Ddim,
            steps: 20,
            guidance: 3.0,
        }
    }
}

/// One image to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What to show.
    pub prompt: String,
    /// What not to show.
    pub negative_prompt: String,
    /// Seed of the first noise.
    pub seed: u64,
    /// How to make it.
    pub options: GenerateOptions,
}

impl Order {
    /// Orders that agree in these go through the network together.
    pub fn way(&self) -> (SamplerKind, usize) {
        (self.options.sampler, self.options.steps)
    }
}

/// A diffusion model.
pub struct TextToImage {
    bundle: Bundle,
    codec: Box<dyn LatentCodec>,
    unet: UNet,
    unet_config: UNetConfig,
    schedule: NoiseSchedule,
    sentence_encoder: EncoderIdentity,
    device: Device,
}

/// Images that go through the network together; more gains nothing on a CPU.
const BATCH_IMAGES: usize = 8;

/// Places a side of the largest latents.
const MAX_SAMPLE: usize = 1024;

impl TextToImage {
    /// Loads a model by the name of a built-in one, or from a folder.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`] if it is neither; else what is wrong with a file.
    pub fn open(name_or_folder: &str, device: &Device) -> Result<Self> {
        let bundle = Bundle::open(name_or_folder, files::UNET_CONFIG)?;
        let index: ModelIndex = bundle.json(files::INDEX)?;
        let codec: CodecConfig = bundle.json(files::VAE_CONFIG)?;
        let schedule: ScheduleConfig = bundle.json(files::SCHEDULER_CONFIG)?;
        let unet_config: UNetConfig = bundle.json(files::UNET_CONFIG)?;
        let side = unet_config.sample_size;
        if !(1..=MAX_SAMPLE).contains(&side) {
            let why = format!("sample_size {side} is not from 1 to {MAX_SAMPLE}");
            return Err(bundle.failed(files::UNET_CONFIG, candle_core::Error::Msg(why)));
        }
        let codec_weights = match &codec {
            CodecConfig::AutoencoderKl(_) => bundle.weights(files::VAE_WEIGHTS, device)?,
            CodecConfig::SpaceToDepth(_) => VarBuilder::zeros(DType::F32, device),
        };
        let unet_weights = bundle.weights(files::UNET_WEIGHTS, device)?;
        Ok(Self {
            codec: codec
                .open(&codec_weights)
                .map_err(|source| bundle.failed(files::VAE_WEIGHTS, source))?,
            unet: UNet::new(&unet_config, &unet_weights)
                .map_err(|source| bundle.failed(files::UNET_WEIGHTS, source))?,
            unet_config,
            schedule: NoiseSchedule::new(&schedule)
                .map_err(|source| bundle.failed(files::SCHEDULER_CONFIG, source))?,
            sentence_encoder: index.sentence_encoder,
            bundle,
            device: device.clone(),
        })
    }

    /// SHA-256 of all its files: what tells it from every other model. Lower-case hexadecimal.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read.
    pub fn digest(&self) -> Result<String> {
        self.bundle.digest(&files::ALL)
    }

    /// Width and height of its images in pixels.
    pub fn side(&self) -> usize {
        self.unet_config.sample_size * self.codec.factor()
    }

    /// Its codec.
    pub fn codec(&self) -> &dyn LatentCodec {
        self.codec.as_ref()
    }

    /// Pixels (batch, 3, height, width) in [-1, 1] through the codec and back, as images: as good as the
    /// model's own can get.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn reconstruct(&self, pixels: &Tensor) -> Result<Vec<RgbImage>> {
        let latents = self.codec.encode(&pixels.to_device(&self.device)?)?;
        Ok(to_images(&self.codec.decode(&latents)?)?)
    }

    /// Makes images, in the order they were asked for. But for rounding, an image depends on its order
    /// alone; those of one [`way`](Order::way) are made together, so that orders are best given many at
    /// a time.
    ///
    /// # Errors
    /// [`Error::OtherEncoder`] if `sentences` is not the encoder that the model was trained with, else
    /// if a tensor operation fails.
    pub fn generate(&self, orders: &[Order], sentences: &SentenceEncoder) -> Result<Vec<RgbImage>> {
        sentences.check(&self.sentence_encoder)?;
        let most = self.schedule.len();
        if let Some(order) = orders.iter().find(|order| order.options.steps > most) {
            return Err(Error::TooManySteps {
                asked: order.options.steps,
                most,
            });
        }
        let states = |text: fn(&Order) -> &str| {
            let texts: Vec<&str> = orders.iter().map(text).collect();
            sentences.states_with(&texts, |_| ControlFlow::Continue(()))
        };
        let conditional = states(|order| &order.prompt)?;
        let guided = |order: &Order| order.options.guidance != 1.0;
        let unconditional = if orders.iter().any(guided) {
            Some(states(|order| &order.negative_prompt)?)
        } else {
            None
        };
        let mut places: Vec<usize> = (0..orders.len()).collect();
        places.sort_by_key(|&place| orders[place].way());
        let batches: Vec<&[usize]> = places
            .chunk_by(|&a, &b| orders[a].way() == orders[b].way())
            .flat_map(|same| same.chunks(BATCH_IMAGES))
            .collect();
        let made: Vec<Vec<RgbImage>> = batches
            .into_par_iter()
            .map(|batch| {
                let context = |states: &TokenStates| -> Result<Context> {
                    let texts: Vec<Vec<f32>> =
                        batch.iter().map(|&place| states.text(place)).collect();
                    let texts: Vec<&[f32]> = texts.iter().map(Vec::as_slice).collect();
                    Ok(Context::padded(&texts, states.dim(), &self.device)?)
                };
                let batch_orders: Vec<&Order> = batch.iter().map(|&place| &orders[place]).collect();
                let conditional = context(&conditional)?;
                let unconditional = unconditional
                    .as_ref()
                    .filter(|_| batch_orders.iter().any(|order| guided(order)))
                    .map(context)
                    .transpose()?;
                let latents = self.sample(&batch_orders, &conditional, unconditional.as_ref())?;
                let pixels = self.codec.decode(&latents)?;
                // One number that is none makes the sum none.
                if pixels.sum_all()?.to_scalar::<f32>()?.is_finite() {
                    Ok(to_images(&pixels)?)
                } else {
                    Err(Error::NoPicture)
                }
            })
            .collect::<Result<_>>()?;
        let mut images: Vec<(usize, RgbImage)> =
            places.into_iter().zip(made.into_iter().flatten()).collect();
        images.sort_by_key(|&(place, _)| place);
        Ok(images.into_iter().map(|(_, image)| image).collect())
    }

    /// Clean latents of orders of one way.
    fn sample(
        &self,
        orders: &[&Order],
        conditional: &Context,
        unconditional: Option<&Context>,
    ) -> candle_core::Result<Tensor> {
        let Some((kind, steps)) = orders.first().map(|order| order.way()) else {
            candle_core::bail!("a batch without orders")
        };
        let side = self.unet_config.sample_size;
        let (count, channels) = (orders.len(), self.unet_config.in_channels);
        let noise = orders
            .iter()
            .flat_map(|order| {
                let mut rng = ChaCha8Rng::seed_from_u64(order.seed);
                random::normals(&mut rng, channels * side * side)
            })
            .collect();
        let noise = Tensor::from_vec(noise, (count, channels, side, side), &self.device)?;
        let guidance = orders
            .iter()
            .map(|order| order.options.guidance as f32)
            .collect();
        let guidance = Tensor::from_vec(guidance, (count, 1, 1, 1), &self.device)?;
        let sampler = kind.start(&self.schedule, steps);
        let mut latents = sampler.start(&noise)?;
        for number in 0..sampler.len() {
            let input = sampler.input(&latents, number)?;
            let step = sampler.timestep(number);
            let steps = vec![step as f32; count];
            let predict = |context| self.unet.forward(&input, &steps, context);
            let output = match unconditional {
                None => predict(conditional)?,
                Some(unconditional) => {
                    let (conditional, unconditional) =
                        rayon::join(|| predict(conditional), || predict(unconditional));
                    let unconditional = unconditional?;
                    (&unconditional + (conditional? - &unconditional)?.broadcast_mul(&guidance)?)?
                }
            };
            let clean = self.schedule.clean(&output, &input, step)?;
            latents = sampler.step(&clean, &latents, number)?;
        }
        Ok(latents)
    }
}

/// Pixels (batch, 3, height, width) in [-1, 1] as images.
///
/// # Errors
/// If the tensor has another shape.
pub fn to_images(pixels: &Tensor) -> candle_core::Result<Vec<RgbImage>> {
    let (_, _, height, width) = pixels.dims4()?;
    let bytes = ((pixels.clamp(-1f32, 1f32)? + 1.0)? * 127.5)?
        .permute((0, 2, 3, 1))?
        .round()?
        .to_dtype(DType::U8)?
        .flatten_from(1)?
        .to_vec2::<u8>()?;
    bytes
        .into_iter()
        .map(|bytes| {
            let image = RgbImage::from_raw(width as u32, height as u32, bytes);
            image.ok_or_else(|| candle_core::Error::Msg("images have three channels".into()))
        })
        .collect()
}
