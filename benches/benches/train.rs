//! How many images a second does training see, in full and in mixed precision?
//!
//! Steps of forward, backward and AdamW on all cores, as `unprompt train` takes them, on images and
//! targets that lie in memory. `benches/peers/torch_training.py` does the same with PyTorch and the
//! published implementations of the same networks at the same sizes; the networks' values agree
//! (`src/parity.rs`, `tests/it/diffusion.rs`). Both see batches as large as training has them.
//!
//! A median of rates over [`STEPS_A_ROW`] steps each: on a shared machine some are slow.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use half::f16;
use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unprompt::diffusion::schedule::{NoiseSchedule, ScheduleConfig};
use unprompt::diffusion::unet::UNet;
use unprompt::diffusion::unet::config::UNetConfig;
use unprompt::image::encoders::EncoderConfig;
use unprompt::image::preprocess::Preprocess;
use unprompt::matmul::Precision;
use unprompt::predictor::config::PredictorConfig;
use unprompt::predictor::network::Network;
use unprompt::text::{EncoderIdentity, TokenStates};
use unprompt::train::denoise::{DenoiseTask, LatentSet};
use unprompt::train::fit::{Fit, FitOptions};
use unprompt::train::joint::JointTask;
use unprompt::train::parameters::Parameters;
use unprompt::train::set::TrainingSet;
use unprompt::train::task::Task;
use unprompt_benches::SEED;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Length of a sentence embedding, and of a token's state.
const DIM: usize = 384;
const WORDS: usize = 1000;
/// Words of a vocabulary that a prompt has.
const WORDS_A_PROMPT: usize = 8;
const TOKENS: usize = 32;
/// Channels and side of the pocket model's latents.
const LATENTS: (usize, usize) = (16, 16);
const BATCH: usize = 64;
const UNET_BATCH: usize = 32;
/// The loop's own.
const STEPS_A_ROW: usize = 25;
const ROWS: usize = 5;

/// Images and targets by chance, one batch of them over and over.
struct Noise {
    images: Vec<RgbImage>,
    embedding: Vec<f32>,
    words: Vec<u32>,
}

impl TrainingSet for Noise {
    fn len(&self) -> usize {
        STEPS_A_ROW * BATCH
    }

    fn image(&self, index: usize, _: usize) -> unprompt::Result<RgbImage> {
        Ok(self.images[index % BATCH].clone())
    }

    fn embedding(&self, _: usize) -> &[f32] {
        &self.embedding
    }

    fn words(&self, _: usize) -> &[u32] {
        &self.words
    }
}

fn main() -> Result<()> {
    println!("model, precision, images/s");
    for precision in Precision::ALL {
        for name in ["vit", "swin"] {
            println!("{name}, {precision}, {:.0}", encoder(name, precision)?);
        }
        println!("unet, {precision}, {:.0}", unet(precision)?);
    }
    Ok(())
}

fn encoder(name: &str, precision: Precision) -> Result<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let encoder = EncoderConfig::pocket(name).expect("a pocket size");
    let side = encoder.side();
    let mut image = || {
        let pixels = (0..side * side * 3).map(|_| rng.random()).collect();
        RgbImage::from_raw(side as u32, side as u32, pixels).expect("three bytes a pixel")
    };
    let noise = Noise {
        images: (0..BATCH).map(|_| image()).collect(),
        embedding: vec![1.0 / (DIM as f32).sqrt(); DIM],
        words: (0..WORDS_A_PROMPT as u32).collect(),
    };
    let config = PredictorConfig {
        preprocess: Preprocess::symmetric(side),
        encoder,
        sentence_encoder: EncoderIdentity {
            name: "none".into(),
            sha256: String::new(),
            dim: DIM,
        },
    };
    let parameters = Parameters::new(SEED);
    let network = Network::new(
        &config,
        WORDS,
        &parameters.builder(&Device::Cpu),
        Path::new(""),
    )?;
    let preprocess = &config.preprocess;
    let task = JointTask::new(&network, preprocess, &Device::Cpu, &noise, &noise);
    rate(&task, &parameters, precision, BATCH)
}

fn unet(precision: Precision) -> Result<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (channels, side) = LATENTS;
    let count = STEPS_A_ROW * UNET_BATCH;
    let mut numbers =
        |length: usize| -> Vec<f32> { (0..length).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let latents = numbers(count * channels * side * side);
    let mut states = TokenStates::new(DIM);
    for _ in 0..count {
        states.push(&numbers(TOKENS * DIM));
    }
    let set = LatentSet {
        latents: latents.into_iter().map(f16::from_f32).collect(),
        shape: (channels, side, side),
        variants: 1,
        states,
    };
    let parameters = Parameters::new(SEED);
    let config = UNetConfig::pocket(channels, DIM);
    let network = UNet::new(&config, &parameters.builder(&Device::Cpu))?;
    let task = DenoiseTask {
        network: &network,
        schedule: &NoiseSchedule::new(&ScheduleConfig::pocket())?,
        device: &Device::Cpu,
        training: &set,
        validation: &set,
        empty: &set.states.text(0),
    };
    rate(&task, &parameters, precision, UNET_BATCH)
}

/// Images a second, after one row of steps that does not count.
fn rate(
    task: &dyn Task,
    parameters: &Parameters,
    precision: Precision,
    batch_size: usize,
) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let options = FitOptions {
        epochs: ROWS + 1,
        batch_size,
        precision,
        ..FitOptions::default()
    };
    let mut fit = Fit::new(
        task,
        parameters.all(),
        &Device::Cpu,
        options,
        "bench".into(),
    )?;
    let mut rates = vec![];
    fit.run(
        folder.path(),
        false,
        &mut |progress| {
            rates.extend(progress.row.map(|row| row.images_per_s));
            ControlFlow::Continue(())
        },
        &mut |_| Ok(()),
    )?;
    let mut rates = rates.split_off(1);
    rates.sort_by(f64::total_cmp);
    Ok(rates[rates.len() / 2])
}
