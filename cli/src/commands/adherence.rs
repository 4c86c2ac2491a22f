//! `adherence`: how well a diffusion model follows prompts.

use anyhow::{Context, Result};
use serde_json::json;
use unprompt::checker::Checker;
use unprompt::evaluate::adherence::{
    Adherence, AdherenceOptions, adherence, reconstructed, rendered,
};
use unprompt::pocket::Meaning;

use super::located::{self, predictor};
use super::sentences;
use crate::args::{AdherenceArgs, Global};
use crate::output::sheet::{self, Entry};
use crate::output::stages::Stages;
use crate::stop;

/// Images on the sheet.
const SHEET_IMAGES: usize = 64;

pub(crate) fn run(args: &AdherenceArgs, global: &Global) -> Result<()> {
    let device = global.device.open()?;
    let sentences = sentences::chosen(global)?;
    let model = located::diffusion(&args.model, global)?;
    let checker = Checker::open(&args.checker, &device)?;
    let predictor = predictor(&args.predictor, global)?;
    let options = AdherenceOptions {
        images: args.images as usize,
        seed: args.seed,
        generate: args.sampling.options(model.usual_options()),
    };
    if !global.quiet {
        eprintln!("seed {}", args.seed);
    }
    let mut stages = Stages::new(global.quiet);
    let mut observe = |done, total| {
        stages.at("generating", done, total, "");
        stop::requested()
    };
    let generated = adherence(
        &model,
        &checker,
        &predictor,
        &sentences,
        options,
        &mut observe,
    )?;
    let reconstructed = reconstructed(
        &model,
        &checker,
        &predictor,
        &sentences,
        options,
        &mut |done, total| {
            stages.at("reconstructing", done, total, "");
            stop::requested()
        },
    )?;
    drop(stages);
    let rendered = rendered(&checker, &predictor, &sentences, options)?;
    if args.json {
        let figures = |adherence: &Adherence| {
            let shares = Meaning::ATTRIBUTES
                .iter()
                .zip(adherence.agreement.attributes);
            let shares: serde_json::Map<_, _> = shares
                .map(|(name, share)| ((*name).to_owned(), json!(share)))
                .collect();
            json!({
                "attributes": shares,
                "mean": adherence.agreement.mean(),
                "all": adherence.agreement.all,
                "cosine": adherence.cosine,
            })
        };
        say!(
            "{}",
            json!({
                "model": args.model,
                "seed": args.seed,
                "images": args.images,
                "steps": options.generate.steps,
                "guidance": options.generate.guidance,
                "sampler": options.generate.sampler.name(),
                "generated": figures(&generated),
                "reconstructed": figures(&reconstructed),
                "rendered": figures(&rendered),
            })
        );
    } else {
        print_table([&generated, &reconstructed, &rendered])?;
    }
    if let Some(path) = &args.sheet {
        let entries: Vec<Entry> = entries(&generated, &checker)?;
        sheet::draw(&entries, ["prompt", "what the checker sees"])?
            .save(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn print_table(kinds: [&Adherence; 3]) -> Result<()> {
    let row = |name: &str, value: &dyn Fn(&Adherence) -> f64| -> Result<()> {
        let [generated, reconstructed, rendered] = kinds.map(value);
        say!("{name:<28}{generated:>12.3}{reconstructed:>15.3}{rendered:>12.3}");
        Ok(())
    };
    say!(
        "{:<28}{:>12}{:>15}{:>12}",
        "share that is right",
        "generated",
        "reconstructed",
        "rendered"
    );
    for (number, name) in Meaning::ATTRIBUTES.iter().enumerate() {
        row(name, &|kind| kind.agreement.attributes[number])?;
    }
    row("mean of the attributes", &|kind| kind.agreement.mean())?;
    row("all attributes at once", &|kind| kind.agreement.all)?;
    row("cosine of a predictor", &|kind| kind.cosine)
}

fn entries(generated: &Adherence, checker: &Checker) -> Result<Vec<Entry>> {
    let count = generated.images.len().min(SHEET_IMAGES);
    let shown = checker.read(&generated.images[..count])?;
    let pairs = generated.images.iter().zip(&generated.prompts);
    let entries = pairs.zip(&shown).map(|((image, prompt), shown)| Entry {
        image: image.clone(),
        truth: prompt.text.clone(),
        found: shown.to_string(),
        note: String::new(),
        same: *shown == prompt.meaning,
    });
    Ok(entries.collect())
}
