//! What does one prediction cost, in time and memory, with each model?
//!
//!     cargo bench -p unprompt-benches --bench predict -- vit MODEL...
//!
//! A model is a built-in one or a folder. Each has a process of its own, which opens the model and predicts one image
//! at a time; times are medians, memory is the most that was ever resident. The first line is such a process without
//! a model.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use unprompt::device::DeviceChoice;
use unprompt::pocket::{Prompts, Split};
use unprompt::predictor::Predictor;
use unprompt_benches::{SEED, median, peak_mebibytes};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tells a process that it is to measure one model.
const MODEL: &str = "UNPROMPT_BENCH_MODEL";

const IMAGES: usize = 200;

fn main() -> Result<()> {
    if let Ok(model) = std::env::var(MODEL) {
        return measure(&model);
    }
    println!("model, open ms, one prediction ms, peak MiB");
    // `cargo bench` adds an argument of its own.
    let models = std::env::args().skip(1).filter(|it| it != "--bench");
    for model in std::iter::once(String::new()).chain(models) {
        let own = std::env::current_exe().context("cannot find this program")?;
        let status = Command::new(own).env(MODEL, &model).status()?;
        ensure!(status.success(), "{model} cannot be measured");
    }
    Ok(())
}

fn measure(model: &str) -> Result<()> {
    let prompts = Prompts::new(SEED, Split::Test).take(IMAGES);
    let images: Vec<RgbImage> = prompts.map(|prompt| prompt.render()).collect();
    if model.is_empty() {
        println!("none, , , {:.1}", peak_mebibytes());
        return Ok(());
    }
    let start = Instant::now();
    let predictor = Predictor::open(model, &DeviceChoice::Cpu.open()?)?;
    let open = start.elapsed();
    // What fails is told before anything is timed.
    predictor.predict(&images[..1])?;
    let mut next = images.iter().cycle();
    let one = median(IMAGES, || {
        next.next()
            .map(|image| predictor.predict(std::slice::from_ref(image)))
    });
    println!(
        "{model}, {:.1}, {:.2}, {:.1}",
        open.as_secs_f64() * 1e3,
        one.as_secs_f64() * 1e3,
        peak_mebibytes()
    );
    Ok(())
}
