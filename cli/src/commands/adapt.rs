//! `adapt`: a model to a user's own images.

use anyhow::{Result, bail};
use unprompt::adapt::{AdaptOptions, FitEvent};
use unprompt::data::source::Source;
use unprompt::train::adapt::{AdaptEvent, AdaptRecipe};

use super::{command_line, images, sentences};
use crate::args::{AdaptArgs, Global};
use crate::output::stages::Stages;

/// Prompts of the pocket world that built-in models are adapted from.
const POCKET_PROMPTS: usize = 20_000;

pub(crate) fn run(args: &AdaptArgs, global: &Global) -> Result<()> {
    if let Some(missing) = args.target.iter().find(|path| !path.exists()) {
        let missing = missing.display();
        bail!("--target {missing}: there is no such file or folder");
    }
    let targets = images::image_files(&args.target);
    if targets.is_empty() {
        bail!("--target names no image files");
    }
    let data = match &args.data {
        Some(data) => data.clone(),
        None if unprompt::predictor::is_built_in(&args.model) => Source::Pocket {
            prompts: POCKET_PROMPTS,
        },
        None => bail!("give --data: what {} was trained on", args.model),
    };
    let sentences = sentences::chosen(global)?;
    let recipe = AdaptRecipe {
        model: args.model.clone(),
        data,
        targets,
        folder: args.out.clone(),
        command: command_line(),
        commit: env!("UNPROMPT_COMMIT").to_owned(),
        options: AdaptOptions {
            centroids: args.centroids as usize,
            gamma: args.gamma,
            alpha: args.alpha,
            seed: args.seed,
        },
    };
    if !global.quiet {
        eprintln!("seed {}", args.seed);
    }
    let device = global.device.open()?;
    let mut stages = Stages::new(global.quiet);
    let outcome = recipe.run(&sentences, &device, &mut |event| {
        let (stage, done, total) = match event {
            AdaptEvent::Targets(done, total) => ("looking at images", done, total),
            AdaptEvent::Sides(done, total) => ("finding near-duplicates", done, total),
            AdaptEvent::Prompts(done, total) => ("embedding prompts", done, total),
            AdaptEvent::Source(done, total) => ("looking at training images", done, total),
            AdaptEvent::Fit(FitEvent::Clusters(done, total)) => ("clustering", done, total),
            AdaptEvent::Fit(FitEvent::Equations(done, total)) => ("solving", done, total),
        };
        stages.observe(stage, done, total)
    })?;
    drop(stages);
    if outcome.unreadable > 0 && !global.quiet {
        eprintln!("{} files could not be read as images", outcome.unreadable);
    }
    say!(
        "adapted to {} images by {} centroids, in {}",
        outcome.targets,
        outcome.centroids,
        args.out.display()
    );
    Ok(())
}
