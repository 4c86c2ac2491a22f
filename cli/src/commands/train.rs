//! `train`: an image encoder with its heads.

use anyhow::{Result, bail};
use unprompt::data::source::Source;
use unprompt::train::fit::{FitOptions, FitProgress};
use unprompt::train::recipe::{Recipe, RecipeEvent};

use super::{command_line, sentence_encoder};
use crate::args::{Global, TrainArgs};
use crate::output::stages::Stages;
use crate::stop;

/// Validation prompts of a run on the pocket world: a mean cosine over so many is known to about 0.002.
const VALIDATION_PROMPTS: usize = 2000;

pub(crate) fn run(args: &TrainArgs, global: &Global) -> Result<()> {
    let validation_prompts = match args.data {
        Source::Pocket { prompts } => VALIDATION_PROMPTS.min(prompts.max(1)),
        Source::Path(_) => 0,
    };
    let sentences = sentence_encoder(global)?;
    let recipe = Recipe {
        encoder: args.encoder.clone(),
        data: args.data.clone(),
        validation_prompts,
        folder: args.out.clone(),
        resume: args.resume,
        with_vocabulary: !args.no_vocabulary,
        command: command_line(),
        commit: env!("UNPROMPT_COMMIT").to_owned(),
        fit: FitOptions {
            epochs: args.epochs,
            batch_size: args.batch_size,
            learning_rate: args.learning_rate,
            seed: args.seed,
            ..FitOptions::default()
        },
    };
    if !global.quiet {
        eprintln!("seed {}", args.seed);
    }
    let mut stages = Stages::new(global.quiet);
    let mut note = String::new();
    let outcome = recipe.run(&sentences, &global.device.open()?, &mut |event| {
        match event {
            RecipeEvent::Targets(done, total) => stages.at("embedding prompts", done, total, ""),
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
    });
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
