//! A diffusion model, loaded: prompts in, images out.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::context::Context;
use super::prompts::{Prompts, States};
use super::published;
use super::sampler::SamplerKind;
use super::schedule::{NoiseSchedule, ScheduleConfig};
use super::unet::UNet;
use super::unet::config::UNetConfig;
use super::vae::{CodecConfig, LatentCodec};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::matmul::Precision;
use crate::models;
use crate::random;
use crate::text::{EncoderIdentity, SentenceEncoder};

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

/// `model_index.json` of a model that we have trained.
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

impl GenerateOptions {
    /// What serves the pocket models well.
    pub const POCKET: Self = Self {
        sampler: SamplerKind::Ddim,
        steps: 20,
        guidance: 3.0,
    };

    /// What users of Stable Diffusion expect, by the sampler that a folder names.
    fn stable_diffusion(sampler: SamplerKind) -> Self {
        Self {
            sampler,
            steps: 50,
            guidance: 7.5,
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
    prompts: Prompts,
    usual: GenerateOptions,
    /// All files of a published model.
    published: Vec<PathBuf>,
    device: Device,
    precision: Precision,
}

/// Places of latents that go through the network together, of eight of the pocket model's images; more gains
/// nothing on a CPU.
const BATCH_PLACES: usize = 8 * 16 * 16;

/// The same on a graphics processor: four images of Stable Diffusion 1.
const DEVICE_BATCH_PLACES: usize = 4 * 64 * 64;

/// Places a side of the largest latents.
const MAX_SAMPLE: usize = 1024;

impl TextToImage {
    /// Loads a model by the name of a built-in one, or from a folder: one of ours, or Stable Diffusion 1 or 2
    /// as diffusers publishes it.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`] if it is neither; else what is wrong with a file.
    pub fn open(name_or_folder: &str, device: &Device) -> Result<Self> {
        let bundle = Bundle::open(name_or_folder, files::UNET_CONFIG)?;
        let index: Value = bundle.json(files::INDEX)?;
        let model = if published::is_published(&index) {
            let parts = published::parts(Path::new(name_or_folder), &index, device)?;
            Self {
                bundle,
                codec: Box::new(parts.codec),
                unet: parts.unet,
                unet_config: parts.unet_config,
                schedule: parts.schedule,
                prompts: parts.prompts,
                usual: GenerateOptions::stable_diffusion(parts.sampler),
                published: parts.files,
                device: device.clone(),
                precision: Precision::Full,
            }
        } else {
            Self::own(bundle, index, device)?
        };
        let side = model.unet_config.sample_size;
        if !(1..=MAX_SAMPLE).contains(&side) {
            let why = format!("sample_size {side} is not from 1 to {MAX_SAMPLE}");
            let why = candle_core::Error::Msg(why);
            return Err(model.bundle.failed(files::UNET_CONFIG, why));
        }
        Ok(model)
    }

    /// A model that we have trained.
    fn own(bundle: Bundle, index: Value, device: &Device) -> Result<Self> {
        let index = ModelIndex::deserialize(index).map_err(|source| Error::ModelConfig {
            path: bundle.path(files::INDEX),
            source,
        })?;
        let codec: CodecConfig = bundle.json(files::VAE_CONFIG)?;
        let schedule: ScheduleConfig = bundle.json(files::SCHEDULER_CONFIG)?;
        let unet_config: UNetConfig = bundle.json(files::UNET_CONFIG)?;
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
            prompts: Prompts::Sentences(index.sentence_encoder),
            usual: GenerateOptions::POCKET,
            published: vec![],
            bundle,
            device: device.clone(),
            precision: Precision::Full,
        })
    }

    /// The same, whose products are of this precision on a graphics processor. On the CPU they stay single, so that
    /// an order means one image wherever it is made.
    pub fn with_precision(self, precision: Precision) -> Self {
        let precision = if self.device.is_cpu() {
            Precision::Full
        } else {
            precision
        };
        Self { precision, ..self }
    }

    #[cfg(test)]
    pub(super) fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// How it makes images where nobody says how.
    pub fn usual_options(&self) -> GenerateOptions {
        self.usual
    }

    /// The sentence encoder that it needs; `None` if it holds what encodes its prompts.
    pub fn sentence_encoder(&self) -> Option<&EncoderIdentity> {
        match &self.prompts {
            Prompts::Sentences(encoder) => Some(encoder),
            Prompts::Clip(_) => None,
        }
    }

    /// SHA-256 of all its files: what tells it from every other model. Lower-case hexadecimal.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read.
    pub fn digest(&self) -> Result<String> {
        if self.published.is_empty() {
            return self.bundle.digest(&files::ALL);
        }
        models::fingerprint(&self.published)
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
    /// [`Error::OtherEncoder`] if `sentences` is not the [`sentence_encoder`](Self::sentence_encoder) that the
    /// model needs, else if a tensor operation fails.
    pub fn generate(
        &self,
        orders: &[Order],
        sentences: Option<&SentenceEncoder>,
    ) -> Result<Vec<RgbImage>> {
        let most = self.schedule.len();
        if let Some(order) = orders.iter().find(|order| order.options.steps > most) {
            return Err(Error::TooManySteps {
                asked: order.options.steps,
                most,
            });
        }
        let states = |text: fn(&Order) -> &str| {
            let texts: Vec<&str> = orders.iter().map(text).collect();
            self.prompts.states(&texts, sentences, &self.device)
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
            .flat_map(|same| same.chunks(self.images_at_once()))
            .collect();
        let make = |batch: &[usize]| {
            self.precision.within(|| {
                let context = |states: &States| states.context(batch, &self.device);
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
        };
        // A graphics processor has all its cores for one batch, and not the memory for one from each thread.
        let made: Vec<Vec<RgbImage>> = if self.device.is_cpu() {
            batches.into_par_iter().map(make).collect::<Result<_>>()?
        } else {
            batches.into_iter().map(make).collect::<Result<_>>()?
        };
        let mut images: Vec<(usize, RgbImage)> =
            places.into_iter().zip(made.into_iter().flatten()).collect();
        images.sort_by_key(|&(place, _)| place);
        Ok(images.into_iter().map(|(_, image)| image).collect())
    }

    /// Images that go through the network together.
    fn images_at_once(&self) -> usize {
        let places = if self.device.is_cpu() {
            BATCH_PLACES
        } else {
            DEVICE_BATCH_PLACES
        };
        (places / self.unet_config.sample_size.pow(2)).max(1)
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
        let told = (conditional, unconditional);
        self.denoise(&noise, told, &guidance, (kind, steps), |_| ())
    }

    /// Clean latents of standard normal noise, by a sampler in so many steps; `seen` is shown the latents after
    /// each time that the network is asked.
    fn denoise(
        &self,
        noise: &Tensor,
        (conditional, unconditional): (&Context, Option<&Context>),
        guidance: &Tensor,
        (kind, steps): (SamplerKind, usize),
        mut seen: impl FnMut(&Tensor),
    ) -> candle_core::Result<Tensor> {
        let mut sampler = kind.start(&self.schedule, steps);
        let mut latents = sampler.start(noise)?;
        for number in 0..sampler.timesteps().len() {
            let input = sampler.input(&latents, number)?;
            let steps = vec![sampler.timesteps()[number] as f32; noise.dim(0)?];
            let predict = |context| self.unet.forward(&input, &steps, context);
            let output = match unconditional {
                None => predict(conditional)?,
                Some(unconditional) => {
                    let (conditional, unconditional) =
                        rayon::join(|| predict(conditional), || predict(unconditional));
                    let unconditional = unconditional?;
                    (&unconditional + (conditional? - &unconditional)?.broadcast_mul(guidance)?)?
                }
            };
            latents = sampler.step(&output, &latents, number)?;
            seen(&latents);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{Fixture, device};

    /// Whole pipelines of diffusers, from prompt to image, by every sampler.
    #[test]
    fn images_are_the_references() {
        for (name, reference) in [
            ("sd1", &["ddim", "pndm", "euler", "dpmpp_2m", "lms"][..]),
            ("sd2", &["ddim", "euler"]),
        ] {
            let fixture = Fixture::open(name);
            let folder = fixture.folder().to_str().unwrap();
            let model = TextToImage::open(folder, &device()).unwrap();
            assert_eq!(model.sentence_encoder(), None);
            let texts = ["a red fox, oil painting", "blurry"];
            let states = model.prompts.states(&texts, None, &device()).unwrap();
            let told = |place| states.context(&[place], &device()).unwrap();
            let guidance = Tensor::new(&[[[[7.5f32]]]], &device()).unwrap();
            for reference in reference {
                let kind = match *reference {
                    "ddim" => SamplerKind::Ddim,
                    "pndm" => SamplerKind::Pndm,
                    "euler" => SamplerKind::Euler,
                    "lms" => SamplerKind::LinearMultistep,
                    _ => SamplerKind::DpmSolver,
                };
                let mut all = vec![];
                let noise = fixture.tensor("noise");
                let latents = model
                    .denoise(
                        &noise,
                        (&told(0), Some(&told(1))),
                        &guidance,
                        (kind, 6),
                        |it| {
                            all.push(it.clone());
                        },
                    )
                    .unwrap();
                let prefix = format!("generate.{reference}");
                fixture.compare(
                    &format!("{prefix}.latents"),
                    &Tensor::stack(&all, 0).unwrap(),
                );
                let pixels = model.codec.decode(&latents).unwrap();
                let image = ((pixels.clamp(-1f32, 1f32).unwrap() + 1.0).unwrap() / 2.0).unwrap();
                fixture.compare(&format!("{prefix}.image"), &image);
            }
        }
    }
}
