//! `evaluate`: how good a model is.

use std::path::Path;

use anyhow::{Result, bail};
use unprompt::data::pairs::Pairs;
use unprompt::data::source::Source;
use unprompt::evaluate::predictions::{PredictionFigures, Trial};
use unprompt::evaluate::{
    Bounds, EvaluateOptions, Evaluation, Figures, KNOWN_IMAGES, Truth, evaluate, fit_confidence,
};
use unprompt::pocket::{Prompts, Split};
use unprompt::predictor::files;
use unprompt::train::checkpoint::write_atomically;

use super::{predictor, sentence_encoder};
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
        images: args.images,
        seed: args.seed,
    };
    let sentences = sentence_encoder(global)?;
    let model = predictor(model, global)?;
    if args.fit_confidence && model.is_built_in() {
        let name = model.name();
        bail!("{name} is built in: give the folder of a model to fit its confidence");
    }
    let mut stages = Stages::new(global.quiet);
    let mut observe = |what, done, total| stages.observe(what, done, total);
    if args.fit_confidence {
        let path = Path::new(model.name()).join(files::CONFIDENCE);
        let confidence = fit_confidence(model, &sentences, options, &mut observe)?;
        let json = serde_json::to_string_pretty(&confidence)? + "\n";
        write_atomically(&path, json.as_bytes())?;
        say!(
            "{} steps, fitted on {}",
            confidence.steps.len(),
            confidence.fitted_on
        );
        return Ok(());
    }
    let evaluation = evaluate(model, &sentences, options, &mut observe)?;
    drop(stages);
    if args.json {
        say!("{}", serde_json::to_string(&evaluation)?);
    } else {
        print(&evaluation)?;
    }
    Ok(())
}

fn run_predictions(args: &EvaluateArgs, global: &Global) -> Result<()> {
    let sides = match &args.data {
        Source::Pocket { prompts } => {
            let draw = |split, count| -> Vec<Truth> {
                let prompts = Prompts::new(args.seed, split).take(count);
                prompts.map(Truth::from).collect()
            };
            (draw(Split::Test, args.images), draw(Split::Train, *prompts))
        }
        Source::Path(folder) => {
            let read = |side, count: usize| -> Result<Vec<Truth>> {
                let pairs = Pairs::of(folder, side)?;
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
                read(Split::Test, args.images)?,
                read(Split::Train, KNOWN_IMAGES)?,
            )
        }
    };
    let (truths, known) = sides;
    let sentences = sentence_encoder(global)?;
    let mut stages = Stages::new(global.quiet);
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
    let (present, absent) = (&evaluation.in_index, &evaluation.held_out);
    let row = |name: &str, value: &dyn Fn(&Figures) -> f64| {
        vec![
            name.to_owned(),
            format!("{:.3}", value(present)),
            format!("{:.3}", value(absent)),
        ]
    };
    let mut rows = vec![
        row("mean cosine of the predicted embedding", &|f| f.mean_cosine),
        row("mean cosine of the answer", &|f| f.answer_cosine),
        row("true prompt is hit 1", &|f| f.recall.at_1),
        row("true prompt among 10 hits", &|f| f.recall.at_10),
        row("true prompt among 100 hits", &|f| f.recall.at_100),
        row("answer means the same", &|f| f.same_meaning),
        row("F1 of the predicted words", &|f| f.words_f1),
        row("encode, median ms", &|f| f.median_ms.encode),
        row("search, median ms", &|f| f.median_ms.search),
    ];
    for (place, (attribute, _)) in present.attributes.iter().enumerate() {
        rows.push(row(&format!("answer's {attribute} is right"), &|f| {
            f.attributes[place].1
        }));
    }
    say!(
        "{}",
        table::rows(&["", "prompt in the index", "meaning held out"], rows)
    );
    say!(
        "calibration error of the confidence over all images: {:.3}",
        evaluation.calibration_error
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
