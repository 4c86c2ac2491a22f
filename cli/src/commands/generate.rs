//! `generate`: prompts in, images out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use unprompt::diffusion::text_to_image::Order;
use unprompt::metadata::{Embedded, write};
use unprompt::train::checkpoint::write_atomically;

use super::{located, sentences};
use crate::args::{GenerateArgs, Global};
use crate::output::stages::Stages;
use crate::stop;

/// Images made at once, between two looks at Ctrl-C.
const BATCH_IMAGES: usize = 64;

pub(crate) fn run(args: &GenerateArgs, global: &Global) -> Result<()> {
    let model = located::diffusion(&args.model, global)?;
    let sentences = match model.sentence_encoder() {
        Some(encoder) => Some(sentences::named(&encoder.name, global)?),
        None => None,
    };
    let options = args.sampling.options(model.usual_options());
    let order = |prompt: &String, number: u64| Order {
        prompt: prompt.clone(),
        negative_prompt: args.negative_prompt.clone(),
        seed: args.seed.wrapping_add(number),
        options,
    };
    let orders: Vec<Order> = args
        .prompts
        .iter()
        .flat_map(|prompt| (0..u64::from(args.images)).map(move |number| order(prompt, number)))
        .collect();
    let mut stages = Stages::new(global.quiet);
    let mut paths = paths(&args.out, orders.len()).into_iter();
    let mut done = 0;
    for batch in orders.chunks(BATCH_IMAGES) {
        stages.at("generating", done, orders.len(), "");
        if stop::requested().is_break() {
            bail!("stopped after {done} of {} images", orders.len());
        }
        let images = model.generate(batch, sentences.as_ref())?;
        for ((image, order), path) in images.iter().zip(batch).zip(&mut paths) {
            let png = write::png(image, &made(order, &args.model))
                .with_context(|| format!("cannot encode {}", path.display()))?;
            write_atomically(&path, &png)?;
        }
        done += batch.len();
    }
    Ok(())
}

/// What an image says of its making.
fn made(order: &Order, model: &str) -> Embedded {
    let options = &order.options;
    let name = Path::new(model).file_name().unwrap_or_default();
    Embedded {
        prompt: order.prompt.clone(),
        negative_prompt: Some(order.negative_prompt.clone()).filter(|it| !it.is_empty()),
        seed: Some(order.seed),
        steps: u32::try_from(options.steps).ok(),
        cfg: Some(options.guidance),
        sampler: Some(options.sampler.name().to_owned()),
        model: Some(name.to_string_lossy().into_owned()),
        ..Embedded::default()
    }
}

/// The file of each image: `out` itself, or numbered before the extension.
fn paths(out: &Path, count: usize) -> Vec<PathBuf> {
    if count == 1 {
        return vec![out.to_owned()];
    }
    let width = count.to_string().len();
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    let extension = out.extension().unwrap_or_default().to_string_lossy();
    (1..=count)
        .map(|number| out.with_file_name(format!("{stem}-{number:0width$}.{extension}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_keeps_its_name_and_several_are_numbered() {
        assert_eq!(paths(Path::new("a/b.png"), 1), [PathBuf::from("a/b.png")]);
        let many = paths(Path::new("a/b.png"), 12);
        assert_eq!((many.len(), &many[0]), (12, &PathBuf::from("a/b-01.png")));
    }
}
