//! `train`: an image encoder with its heads.

use anyhow::{Context, Result, bail};
use unprompt::data::source::Source;
use unprompt::image::encoders::EncoderConfig;
use unprompt::image::preprocess::Preprocess;
use unprompt::train::features::FeatureCache;
use unprompt::train::fit::{FitOptions, FitProgress};
use unprompt::train::recipe::{Recipe, RecipeEvent};
use unprompt::train::start::{Start, pretrained, published};
use unprompt::train::white_box::white_box;

use super::{command_line, located, sentences};
use crate::args::{Global, TrainArgs};
use crate::output::stages::Stages;
use crate::stop;

/// Validation prompts of a run on the pocket world: a mean cosine over so many is known to about 0.002.
const VALIDATION_PROMPTS: usize = 2000;

/// The encoder, how images are made ready for it, and what it begins with.
fn start(args: &TrainArgs, fit: &FitOptions) -> Result<(EncoderConfig, Preprocess, Start)> {
    if let Some(model) = args.pretrained.clone() {
        let config = pretrained(&model)?;
        let start = Start::Predictor { model };
        return Ok((config.encoder, config.preprocess, start));
    }
    if let Some(folder) = args.weights.as_deref() {
        let folder = located::existing(folder)?;
        let (encoder, preprocess) = published(&folder)?;
        let found = encoder.name();
        if let Some(asked) = args.encoder.as_ref().filter(|it| it.name() != found) {
            bail!(
                "{} holds a {found}, not a {}",
                folder.display(),
                asked.name()
            );
        }
        return Ok((encoder, preprocess, Start::Published { folder }));
    }
    let encoder = args.encoder.clone();
    let (encoder, start) =
        match encoder.context("--encoder, --weights or --pretrained is needed")? {
            EncoderConfig::UNet(_) => {
                let model = located::diffusion_name(&args.diffusion);
                let captioner = located::captioner_name(&args.captioner);
                let (encoder, preprocess) = white_box(&model, &captioner)?;
                return Ok((encoder, preprocess, Start::Diffusion { model, captioner }));
            }
            encoder @ EncoderConfig::Clip(_) => {
                let tower = FitOptions {
                    epochs: args.tower_epochs,
                    ..fit.clone()
                };
                let folder = args.out.join("tower");
                (encoder, Start::Contrast { fit: tower, folder })
            }
            encoder => (encoder, Start::Nothing),
        };
    let preprocess = Preprocess::symmetric(encoder.side());
    Ok((encoder, preprocess, start))
}

/// Where features are kept: one folder for the run and the plain one before it.
fn features(args: &TrainArgs) -> Option<FeatureCache> {
    let folder = args.features.clone();
    (args.features_gib > 0).then(|| FeatureCache {
        folder: folder.unwrap_or_else(|| args.out.join("features")),
        max_bytes: u64::from(args.features_gib) << 30,
    })
}

pub(crate) fn run(args: &TrainArgs, global: &Global) -> Result<()> {
    let validation_prompts = match args.data {
        Source::Pocket { prompts } => VALIDATION_PROMPTS.min(prompts.max(1)),
        Source::Path(_) => 0,
    };
    let sentences = sentences::chosen(global)?;
    let device = global.device.open()?;
    let fit = FitOptions {
        epochs: args.epochs,
        batch_size: args.batch_size,
        learning_rate: args.learning_rate,
        patience: args.patience,
        ..args.run.fit(global.precision.on(&device))
    };
    let (encoder, preprocess, start) = start(args, &fit)?;
    let plain = args.out.join("plain");
    let recipe = Recipe {
        encoder,
        preprocess,
        start,
        data: args.data.clone(),
        validation_prompts,
        folder: args.out.clone(),
        features: features(args),
        resume: args.run.resume,
        with_vocabulary: !args.no_vocabulary,
        record_easiness: args.record_easiness,
        curriculum: args
            .curriculum
            .then(|| args.easiness.clone().unwrap_or_else(|| plain.clone())),
        command: command_line(),
        commit: env!("UNPROMPT_COMMIT").to_owned(),
        fit,
    };
    if !global.quiet {
        eprintln!("seed {}, {} precision", args.run.seed, recipe.fit.precision);
    }
    let mut stages = Stages::new(global.quiet);
    let mut note = String::new();
    let mut observe = |event: RecipeEvent<'_>| {
        match event {
            RecipeEvent::Sides(done, total) => {
                stages.at("finding near-duplicates", done, total, "");
            }
            RecipeEvent::Targets(done, total) => stages.at("embedding prompts", done, total, ""),
            RecipeEvent::Pretraining(progress) => {
                stages.at("pretraining", progress.step, progress.total_steps, "");
            }
            RecipeEvent::Step(FitProgress {
                step,
                total_steps,
                row,
            }) => {
                if let Some(row) = row {
                    let (cosine, rate) = (1.0 - row.parts[0], row.images_per_s);
                    note = format!("cosine {cosine:.4} in training, {rate:.0} images/s");
                    if let Some(cosine) = row.validation.filter(|_| !global.quiet) {
                        eprintln!("epoch {}: cosine {cosine:.4} on validation", row.epoch + 1);
                    }
                }
                stages.at("training", step, total_steps, &note);
            }
        }
        stop::requested()
    };
    let before = if args.curriculum && args.easiness.is_none() {
        recipe.check_folder()?;
        let recorded = Recipe {
            folder: plain,
            record_easiness: true,
            curriculum: None,
            ..recipe.clone()
        };
        recorded.run(&sentences, &device, &mut observe).map(|_| ())
    } else {
        Ok(())
    };
    let outcome = before.and_then(|()| recipe.run(&sentences, &device, &mut observe));
    drop(stages);
    match outcome {
        Ok(outcome) => {
            say!(
                "{:.4} mean cosine on validation, in {}",
                outcome.best_score,
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
