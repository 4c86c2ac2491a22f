//! `graft`: what the white box has learnt, put back into the diffusion model.

use anyhow::Result;
use unprompt::train::graft::graft;

use super::command_line;
use crate::args::GraftArgs;

pub(crate) fn run(args: &GraftArgs) -> Result<()> {
    let count = graft(
        &args.model,
        &args.encoder,
        args.share,
        &args.out,
        (&command_line(), env!("UNPROMPT_COMMIT")),
    )?;
    say!("{count} tensors put back, in {}", args.out.display());
    Ok(())
}
