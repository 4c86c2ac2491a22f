//! `train-checker`: which meaning an image shows.

use anyhow::{Result, bail};
use unprompt::data::source::Source;
use unprompt::train::checker::CheckerRecipe;
use unprompt::train::fit::FitOptions;

use super::command_line;
use crate::args::{Global, TrainCheckerArgs};
use crate::output::stages::Stages;
use crate::stop;

/// Validation prompts of a run.
const VALIDATION_PROMPTS: usize = 2000;

pub(crate) fn run(args: &TrainCheckerArgs, global: &Global) -> Result<()> {
    let Source::Pocket { prompts } = args.data else {
        bail!(
            "train-checker --data takes pocket or pocket:N; {} is no such source",
            args.data
        );
    };
    let device = global.device.open()?;
    let recipe = CheckerRecipe {
        prompts,
        validation_prompts: VALIDATION_PROMPTS.min(prompts.max(1)),
        folder: args.out.clone(),
        resume: args.run.resume,
        command: command_line(),
        commit: env!("UNPROMPT_COMMIT").to_owned(),
        fit: FitOptions {
            epochs: args.epochs,
            learning_rate: 2e-3,
            ..args.run.fit(global.precision.on(&device))
        },
    };
    if !global.quiet {
        eprintln!("seed {}, {} precision", args.run.seed, recipe.fit.precision);
    }
    let mut stages = Stages::new(global.quiet);
    let mut note = String::new();
    let outcome = recipe.run(&device, &mut |progress| {
        if let Some(row) = progress.row {
            note = format!(
                "accuracy {:.4}, {:.0} images/s",
                row.parts[1], row.images_per_s
            );
            if let Some(accuracy) = row.validation.filter(|_| !global.quiet) {
                eprintln!(
                    "epoch {}: accuracy {accuracy:.4} on validation",
                    row.epoch + 1
                );
            }
        }
        stages.at("training", progress.step, progress.total_steps, &note);
        stop::requested()
    });
    drop(stages);
    match outcome {
        Ok(outcome) => {
            say!(
                "{:.4} of the attributes right on validation, in {}",
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
