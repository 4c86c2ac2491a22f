//! `evaluate`: how good a model is.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use unprompt::data::pairs::Sides;
use unprompt::data::source::Source;
use unprompt::data::split::{Splitter, folder_of};
use unprompt::evaluate::predictions::{PredictionFigures, Trial};
use unprompt::evaluate::{
    Bounds, EvaluateOptions, Evaluation, KNOWN_IMAGES, Truth, evaluate, fit_confidence,
};
use unprompt::pocket::{Prompts, Split};
use unprompt::predictor::{Predictor, files};
use unprompt::train::checkpoint::write_atomically;

use super::located::predictor;
use super::sentences;
use crate::args::{EvaluateArgs, Global};
use crate::output::stages::Stages;
use crate::output::table;

pub(crate) fn run(args: &EvaluateArgs, global: &Global) -> Result<()> {
    if args.predictions {
        return run_predictions(args, global);
    }
    let Source::Pocket { prompts } = args.data else {
        bail!(
            "evaluate --data takes pocket or pocket:N; {} is no such source",
            args.data
        );
    };
    let [model] = args.model.as_slice() else {
        bail!("several models are compared with --predictions only");
    };
    let options = EvaluateOptions {
        split: Split::Test,
        prompts,
        images: args.images(),
        seed: args.seed,
        reconstruct: args.reconstruct.budget(),
        ablation: args.ablation,
    };
    let model = if args.fit_confidence {
        Predictor::open_unfitted(model, &global.device.open()?)?
    } else {
        predictor(model, global)?
    };
    if let Some(folder) = &args.report {
        // Before the work, so that nothing is lost if it cannot be written.
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let name = model.name();
    if args.fit_confidence && model.is_built_in() {
        bail!("{name} is built in: give the folder of a model to fit its confidence");
    }
    if args.fit_confidence && model.is_published() {
        bail!("{name} is a published model, beside whose files nothing is written");
    }
    let sentences = Arc::new(sentences::of_predictor(&model, global)?);
    let mut stages = Stages::new(global.quiet);
    let mut observe = |what, done, total| stages.observe(what, done, total);
    if args.fit_confidence {
        let folder = PathBuf::from(model.name());
        let fitted = fit_confidence(model, &sentences, options, &mut observe)?;
        let json = serde_json::to_string_pretty(&fitted.confidence)? + "\n";
        for (name, bytes) in [
            (files::FAMILIARITY, fitted.familiarity.to_bytes()?),
            (files::RESIDUALS, fitted.residuals.to_bytes()?),
            // Last: it is what the others are read for.
            (files::CONFIDENCE, json.into_bytes()),
        ] {
            write_atomically(&folder.join(name), &bytes)?;
        }
        say!("fitted on {}", fitted.confidence.fitted_on);
        return Ok(());
    }
    let evaluation = evaluate(model, &sentences, options, &mut observe)?;
    drop(stages);
    if let Some(folder) = &args.report {
        evaluation.write_report(folder)?;
    }
    if args.json {
        say!("{}", serde_json::to_string(&evaluation)?);
    } else {
        print(&evaluation)?;
    }
    Ok(())
}

fn run_predictions(args: &EvaluateArgs, global: &Global) -> Result<()> {
    let sentences = sentences::chosen(global)?;
    let mut stages = Stages::new(global.quiet);
    let sides = match &args.data {
        Source::Pocket { prompts } => {
            let draw = |split, count| -> Vec<Truth> {
                let prompts = Prompts::new(args.seed, split).take(count);
                prompts.map(Truth::from).collect()
            };
            (
                draw(Split::Test, args.images()),
                draw(Split::Train, *prompts),
            )
        }
        Source::Path(folder) => {
            let mut splitter = Splitter {
                sentences: &sentences,
                kept_in: args.model.first().and_then(|model| folder_of(model)),
                observe: &mut |done, total| stages.observe("finding near-duplicates", done, total),
            };
            let sides = Sides::open(folder, &mut splitter)?;
            let read = |side, count: usize| -> Result<Vec<Truth>> {
                let pairs = sides.pairs(side)?;
                let texts = pairs.prompts().take(count).enumerate();
                let truth = |(number, text): (usize, &str)| {
                    Ok(Truth {
                        image: pairs.image(number)?,
                        text: text.to_owned(),
                    })
                };
                texts.map(truth).collect()
            };
            (
                read(Split::Test, args.images())?,
                read(Split::Train, KNOWN_IMAGES)?,
            )
        }
    };
    let (truths, known) = sides;
    let mut observe = |what, done, total| stages.observe(what, done, total);
    let trial = Trial::new(&truths, &known, &sentences, args.seed, &mut observe)?;
    drop(stages);
    for model in &args.model {
        let predictor = predictor(model, global)?;
        let mut stages = Stages::new(global.quiet);
        let figures = trial.run(&predictor, &mut |done, total| {
            stages.observe("predicting", done, total)
        })?;
        drop(stages);
        print_predictions(&figures, model, args)?;
    }
    Ok(())
}

fn print_predictions(figures: &PredictionFigures, model: &str, args: &EvaluateArgs) -> Result<()> {
    if args.json {
        let mut json = serde_json::to_value(figures)?;
        json["model"] = model.into();
        json["seed"] = args.seed.into();
        say!("{json}");
        return Ok(());
    }
    say!(
        "model {model}, seed {}, {} test images",
        args.seed,
        figures.images
    );
    let mut rows = vec![
        (
            "mean cosine of the predicted embedding",
            figures.mean_cosine,
        ),
        (
            "that of its 10 nearest images' prompts",
            figures.encoder_neighbours,
        ),
        ("F1 of the predicted words", figures.words_f1.all),
        ("F1 of words that leave a trace", figures.words_f1.traced),
        ("F1 of words that leave none", figures.words_f1.untraced),
    ];
    if let Some(cosine) = figures.adapted_cosine {
        rows.insert(1, ("that of the adapted embedding", cosine));
    }
    for (name, value) in rows {
        say!("{name:<44}{value:>8.3}");
    }
    let attributes = figures.attributes.iter().zip(&figures.attributes_of_truth);
    for ((name, share), (_, of_truth)) in attributes {
        let name = format!("{name} of the nearest meaning is right");
        say!("{name:<44}{share:>8.3}, by the true embedding {of_truth:.3}");
    }
    say!(
        "{:<44}{:>8.2}",
        "milliseconds an image, median",
        figures.predict_ms
    );
    print_bounds(&figures.bounds)
}

fn print(evaluation: &Evaluation) -> Result<()> {
    say!(
        "model {}, seed {}, {} test prompts in the index",
        evaluation.model,
        evaluation.seed,
        evaluation.prompts
    );
    let cell = |value: Option<f64>| value.map_or("none".to_owned(), |it| format!("{it:.3}"));
    let rows = evaluation.rows().into_iter();
    let rows = rows.map(|(name, [present, absent])| vec![name, cell(present), cell(absent)]);
    say!(
        "{}",
        table::rows(
            &["", "prompt in the index", "meaning held out"],
            rows.collect()
        )
    );
    if !evaluation.ablation.is_empty() {
        let header = [
            "candidates, prompt in the index",
            "hit 1",
            "among 10",
            "among 100",
            "cosine of hit 1",
        ];
        let rows = evaluation.ablation.iter().map(|it| {
            let recall = it.recall;
            let figures = [recall.at_1, recall.at_10, recall.at_100, it.hit_cosine];
            let figures = figures.map(|figure| format!("{figure:.3}"));
            std::iter::once(it.sources.to_owned())
                .chain(figures)
                .collect()
        });
        say!("{}", table::rows(&header, rows.collect()));
    }
    say!(
        "calibration error over all images: {:.3} ({:.3} by chance if the confidence were exact)",
        evaluation.calibration.error,
        evaluation.calibration.chance
    );
    say!(
        "of {} images of another world, {:.1}% are answered unsure",
        evaluation.elsewhere.images,
        evaluation.elsewhere.unsure * 100.0
    );
    print_bounds(&evaluation.bounds)
}

fn print_bounds(bounds: &Bounds) -> Result<()> {
    let ceiling = bounds.ceiling.map(|it| format!(", ceiling {it:.3}"));
    say!(
        "cosines to compare with: mean embedding {:.3}, nearest of {} training images in raw pixels \
         {:.3}{}",
        bounds.mean_embedding,
        bounds.known_images,
        bounds.pixel_neighbour,
        ceiling.unwrap_or_default()
    );
    Ok(())
}
