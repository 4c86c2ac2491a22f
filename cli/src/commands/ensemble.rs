//! `ensemble`: several models as one.

use anyhow::Result;
use unprompt::pocket::{PocketPrompt, Prompts, Split};
use unprompt::train::ensemble::ensemble;
use unprompt::train::set::PocketSet;

use super::sentence_encoder;
use crate::args::{EnsembleArgs, Global};
use crate::output::stages::Stages;

pub(crate) fn run(args: &EnsembleArgs, global: &Global) -> Result<()> {
    let sentences = sentence_encoder(global)?;
    let prompts: Vec<PocketPrompt> = Prompts::new(args.seed, Split::Validation)
        .take(args.images as usize)
        .collect();
    if !global.quiet {
        eprintln!("seed {}", args.seed);
    }
    let texts: Vec<&str> = prompts.iter().map(|prompt| prompt.text.as_str()).collect();
    let embeddings = sentences.embed(&texts)?.into_vec();
    let words = vec![vec![]; prompts.len()];
    let validation = PocketSet::new(prompts, embeddings, words);
    let device = global.device.open()?;
    let mut stages = Stages::new(global.quiet);
    let fit = ensemble(
        &args.models,
        &validation,
        &args.out,
        &device,
        &mut |done, total| stages.observe("predicting", done, total),
    )?;
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
