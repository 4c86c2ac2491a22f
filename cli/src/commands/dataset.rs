//! `dataset`: images of a diffusion model with their prompts, as DiffusionDB has them.

use anyhow::{Result, bail};
use unprompt::dataset::{DatasetRecipe, PART_IMAGES};

use super::{command_line, located, sentences};
use crate::args::{DatasetArgs, Global};
use crate::output::stages::Stages;
use crate::stop;

pub(crate) fn run(args: &DatasetArgs, global: &Global) -> Result<()> {
    let sentences = sentences::chosen(global)?;
    let model = located::diffusion(&args.model, global)?;
    let recipe = DatasetRecipe {
        folder: args.out.clone(),
        train: args.train,
        validation: args.validation,
        test: args.test,
        seed: args.seed,
        images_per_part: PART_IMAGES,
        model: args.model.clone(),
        command: command_line(),
        commit: env!("UNPROMPT_COMMIT").to_owned(),
    };
    let mut stages = Stages::new(global.quiet);
    let outcome = recipe.run(&model, &sentences, &mut |done, total| {
        stages.at("generating", done, total, "");
        stop::requested()
    });
    drop(stages);
    match outcome {
        Ok(()) => {
            say!(
                "{} images to train on, {} for validation and {} for tests in {}",
                args.train,
                args.validation,
                args.test,
                args.out.display()
            );
            Ok(())
        }
        Err(unprompt::Error::Cancelled) => {
            bail!("stopped; the same command goes on from the last whole part")
        }
        Err(error) => Err(error.into()),
    }
}
