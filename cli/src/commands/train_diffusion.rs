//! `train-diffusion`: autoencoder and U-Net.

use anyhow::{Result, bail};
use unprompt::data::source::Source;
use unprompt::train::diffusion::{DiffusionEvent, DiffusionRecipe};
use unprompt::train::fit::{FitOptions, FitProgress};

use super::{command_line, sentences};
use crate::args::{Global, TrainDiffusionArgs};
use crate::output::stages::Stages;
use crate::stop;

/// Validation prompts of a run.
const VALIDATION_PROMPTS: usize = 1000;

pub(crate) fn run(args: &TrainDiffusionArgs, global: &Global) -> Result<()> {
    let Source::Pocket { prompts } = args.data else {
        bail!(
            "train-diffusion --data takes pocket or pocket:N; {} is no such source",
            args.data
        );
    };
    let sentences = sentences::chosen(global)?;
    let device = global.device.open()?;
    let recipe = DiffusionRecipe {
        prompts,
        validation_prompts: VALIDATION_PROMPTS.min(prompts.max(1)),
        variants: args.variants as usize,
        codec: args.codec.into(),
        folder: args.out.clone(),
        resume: args.run.resume,
        command: command_line(),
        commit: env!("UNPROMPT_COMMIT").to_owned(),
        autoencoder: FitOptions {
            epochs: args.autoencoder_epochs,
            // Many small steps: an autoencoder learns slowly, and gains little by steadier gradients.
            batch_size: 8,
            learning_rate: 2e-3,
            weight_decay: 0.0,
            average: Some(0.998),
            ..args.run.fit(global.precision.on(&device))
        },
        unet: FitOptions {
            epochs: args.epochs,
            batch_size: 32,
            learning_rate: args.learning_rate,
            weight_decay: 0.01,
            average: Some(0.9995),
            ..args.run.fit(global.precision.on(&device))
        },
    };
    if !global.quiet {
        eprintln!(
            "seed {}, {} precision",
            args.run.seed, recipe.unet.precision
        );
    }
    let mut stages = Stages::new(global.quiet);
    let mut note = String::new();
    let mut fit =
        |stages: &mut Stages, name: &'static str, progress: FitProgress<'_>, score: &str| {
            if let Some(row) = progress.row {
                note = format!(
                    "error {:.4}, {:.0} images/s",
                    row.parts[0], row.images_per_s
                );
                if let Some(value) = row.validation.filter(|_| !global.quiet) {
                    eprintln!(
                        "{name}, epoch {}: {score} {value:.4} on validation",
                        row.epoch + 1
                    );
                }
            }
            stages.at(name, progress.step, progress.total_steps, &note);
        };
    let outcome = recipe.run(&sentences, &device, &mut |event| {
        match event {
            DiffusionEvent::Autoencoder(progress) => {
                fit(
                    &mut stages,
                    "training the autoencoder",
                    progress,
                    "decibels",
                );
            }
            DiffusionEvent::Latents(done, total) => {
                stages.at("encoding images", done, total, "");
            }
            DiffusionEvent::States(done, total) => {
                stages.at("encoding prompts", done, total, "");
            }
            DiffusionEvent::UNet(progress) => {
                fit(
                    &mut stages,
                    "training the U-Net",
                    progress,
                    "explained variance",
                );
            }
        }
        stop::requested()
    });
    drop(stages);
    match outcome {
        Ok(outcome) => {
            if let Some(psnr) = outcome.psnr {
                say!("{psnr:.2} decibels of the autoencoder on validation");
            }
            say!(
                "{:.4} of the variance explained by the U-Net on validation, in {}",
                outcome.explained,
                args.out.display()
            );
            Ok(())
        }
        Err(unprompt::Error::Cancelled) => {
            bail!("stopped; the same command with --resume goes on from the last checkpoint")
        }
        Err(error) => Err(error.into()),
    }
}
