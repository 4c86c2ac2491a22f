//! `train`: an image encoder with its heads.

use anyhow::{Result, bail};
use unprompt::data::source::Source;
use unprompt::train::fit::FitOptions;
use unprompt::train::recipe::{Recipe, RecipeEvent};

use super::sentence_encoder;
use crate::args::{Global, TrainArgs};
use crate::output::progress::{Progress, Unit};
use crate::stop;

/// Validation prompts of a run: a mean cosine over so many is known to about 0.002.
const VALIDATION_PROMPTS: usize = 2000;

pub(crate) fn run(args: &TrainArgs, global: &Global) -> Result<()> {
    let Source::Pocket { prompts } = args.data else {
        bail!(
            "train --data takes pocket or pocket:N; {} is no such source",
            args.data
        );
    };
    let sentences = sentence_encoder(global)?;
    let recipe = Recipe {
        encoder: args.encoder.into(),
        prompts,
        validation_prompts: VALIDATION_PROMPTS.min(prompts.max(1)),
        folder: args.out.clone(),
        resume: args.resume,
        command: command_line(),
        fit: FitOptions {
            epochs: args.epochs,
            batch_size: args.batch_size,
            learning_rate: args.learning_rate,
            with_words: !args.no_vocabulary,
            seed: args.seed,
            ..FitOptions::default()
        },
    };
    eprintln!("seed {}", args.seed);
    let mut progress: Option<(&str, Progress)> = None;
    let outcome = recipe.run(&sentences, &global.device.open()?, &mut |event| {
        let (what, done, total, note) = match event {
            RecipeEvent::Targets(done, total) => ("embedding prompts", done, total, String::new()),
            RecipeEvent::Row(row, total) => {
                let note = format!(
                    "loss {:.4} {:.0} images/s",
                    row.cosine_loss + row.huber_loss + 0.1 * row.words_loss,
                    row.images_per_s
                );
                if let Some(cosine) = row.validation_cosine {
                    eprintln!(
                        "epoch {}: mean cosine {cosine:.4} on validation",
                        row.epoch + 1
                    );
                }
                ("training", row.step, total, note)
            }
        };
        let current = progress.take().filter(|(current, _)| *current == what);
        let (_, bar) = progress.insert(current.unwrap_or_else(|| {
            (
                what,
                Progress::new(what, Some(total as u64), Unit::Count, global.quiet),
            )
        }));
        bar.set(done as u64, &note);
        stop::requested()
    });
    drop(progress);
    match outcome {
        Ok(outcome) => {
            println!(
                "{:.4} mean cosine on validation, in {}",
                outcome.best_cosine,
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

/// The command as it was typed, but for the path of the program.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("unprompt {}", arguments.join(" "))
}
