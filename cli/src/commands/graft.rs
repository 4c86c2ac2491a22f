//! `graft`: what the white box has learnt, put back into the diffusion model.

use anyhow::Result;
use unprompt::train::graft::GraftRecipe;

use super::{command_line, located};
use crate::args::GraftArgs;

pub(crate) fn run(args: &GraftArgs) -> Result<()> {
    let recipe = GraftRecipe {
        model: located::diffusion_name(&args.model),
        encoder: args.encoder.clone(),
        share: args.share,
        folder: args.out.clone(),
        command: command_line(),
        commit: env!("UNPROMPT_COMMIT").to_owned(),
    };
    let count = recipe.run()?;
    say!("{count} tensors put back, in {}", args.out.display());
    Ok(())
}
