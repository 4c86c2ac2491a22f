//! `ensemble`: several models as one.

use anyhow::Result;
use unprompt::train::ensemble::EnsembleRecipe;

use super::sentences;
use crate::args::{EnsembleArgs, Global};
use crate::output::stages::Stages;

pub(crate) fn run(args: &EnsembleArgs, global: &Global) -> Result<()> {
    let sentences = sentences::chosen(global)?;
    let device = global.device.open()?;
    if !global.quiet {
        eprintln!("seed {}", args.seed);
    }
    let recipe = EnsembleRecipe {
        models: args.models.clone(),
        data: args.data.clone(),
        images: args.images as usize,
        seed: args.seed,
        folder: args.out.clone(),
    };
    let mut stages = Stages::new(global.quiet);
    let fit = recipe.run(&sentences, &device, &mut |done, total| {
        stages.observe("predicting", done, total)
    })?;
    drop(stages);
    say!("{:>8}{:>10}  model", "weight", "cosine");
    for (model, weight, cosine) in &fit.members {
        say!("{weight:>8.2}{cosine:>10.4}  {model}");
    }
    say!(
        "{:>8}{:>10.4}  all of them, in {}",
        "",
        fit.cosine,
        args.out.display()
    );
    Ok(())
}
