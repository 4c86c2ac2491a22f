//! `demo`: the whole tool on the embedded default.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use unprompt::evaluate::{Case, DEPTH, Figures, reverse_all};
use unprompt::indexing;
use unprompt::pocket::{PocketPrompt, Prompts, Split};
use unprompt::reverse::{ReverseOptions, Reverser};
use unprompt::text::SentenceEncoder;
use unprompt_index::Index;
use unprompt_server::Config;

use super::located::predictor;
use super::sentences;
use super::serve::serve;
use crate::args::{DemoArgs, Global};
use crate::output::sheet::{self, Entry};
use crate::output::stages::Stages;
use crate::output::table;
use crate::stop;

/// The model that is shown.
const MODEL: &str = "vit";

/// Images that are reversed.
const IMAGES: usize = 12;

/// Seed of the demo's prompts. No training, validation or fit draws test prompts.
const SEED: u64 = 2024;

pub(crate) fn run(args: &DemoArgs, global: &Global) -> Result<()> {
    let folder = |name: &str| -> Result<PathBuf> {
        let path = args.dir.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    };
    let images = folder("images")?;
    let sentences = Arc::new(sentences::chosen(global)?);
    let prompts = test_prompts(args.prompts.max(IMAGES));
    let dir = args.dir.join(format!("index-{}", prompts.len()));
    let index = open_or_build(&dir, &prompts, &sentences, global)?;

    let reverser =
        Reverser::new(index, predictor(MODEL, global)?)?.with_sentences(sentences.clone())?;
    let chosen: Vec<PocketPrompt> = prompts
        .iter()
        .step_by(prompts.len() / IMAGES)
        .take(IMAGES)
        .cloned()
        .collect();
    for (prompt, number) in chosen.iter().zip(1..) {
        let path = images.join(format!("{number:02}.png"));
        prompt
            .render()
            .save(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let options = ReverseOptions {
        k: DEPTH,
        ..ReverseOptions::default()
    };
    let cases = reverse_all(&reverser, &sentences, &chosen, &options, &mut |_, _, _| {
        stop::requested()
    })?;
    for (case, number) in cases.iter().zip(1..) {
        print_case(case, number)?;
    }
    print_figures(
        &Figures::of(&cases, reverser.predictor().vocabulary()),
        prompts.len(),
    )?;

    let path = args.dir.join("contact-sheet.png");
    let entries: Vec<Entry> = cases.iter().map(entry).collect();
    sheet::draw(&entries, ["true prompt", "found prompt"])?
        .save(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    say!("images and their prompts side by side: {}", path.display());
    say!(
        "try: unprompt reverse {} {} --json",
        dir.display(),
        images.join("01.png").display()
    );
    say!(
        "     unprompt search {} \"a red cat in the snow\"",
        dir.display()
    );
    if args.no_serve {
        return Ok(());
    }
    drop(reverser);
    serve(Config::new(dir, args.bind), Some(MODEL), global)
}

/// Distinct prompts of the test split.
fn test_prompts(count: usize) -> Vec<PocketPrompt> {
    let mut seen = std::collections::HashSet::new();
    let distinct =
        Prompts::new(SEED, Split::Test).filter(|prompt| seen.insert(prompt.text.clone()));
    distinct.take(count).collect()
}

fn open_or_build(
    dir: &Path,
    prompts: &[PocketPrompt],
    sentences: &SentenceEncoder,
    global: &Global,
) -> Result<Index> {
    if dir.join("MANIFEST").is_file() {
        let index = Index::open(dir)?;
        say!(
            "the index of {} prompts is there already: {}",
            index.len(),
            dir.display()
        );
        return Ok(index);
    }
    let start = Instant::now();
    let texts = prompts.iter().map(|prompt| prompt.text.clone());
    let mut stages = Stages::new(global.quiet);
    let stats = indexing::build(texts, dir, sentences, &mut |event| {
        stages.show(event);
        stop::requested()
    })?;
    drop(stages);
    say!(
        "indexed {} prompts in {:.1} s: {} ({:.1} MiB)",
        stats.prompts,
        start.elapsed().as_secs_f64(),
        dir.display(),
        stats.bytes.total as f64 / f64::from(1 << 20)
    );
    Ok(Index::open(dir)?)
}

/// Hits that are shown of each image.
const HITS_SHOWN: usize = 3;

fn print_case(case: &Case, number: usize) -> Result<()> {
    let answer = &case.answer;
    let words = answer.words.iter().take(10);
    let words: Vec<String> = words
        .map(|word| format!("{} {:.0}%", word.word, word.probability * 100.0))
        .collect();
    say!("\n{number:>2}  true    {}", case.truth.text);
    say!("    answer  {}", answer.prompt);
    say!(
        "            {}, confidence {:.2}, {}; cosine to the true prompt {:.3}",
        table::verdict(answer.verdict),
        answer.confidence,
        if case.says_the_same() {
            "means the same"
        } else {
            "means something else"
        },
        case.answer_cosine
    );
    say!("    words   {}", words.join(", "));
    for hit in answer.hits.iter().take(HITS_SHOWN) {
        let cosine = hit.scores.vector.unwrap_or_default();
        say!("    hit {}   {cosine:.3}  {}", hit.rank, hit.prompt);
    }
    Ok(())
}

fn print_figures(figures: &Figures, prompts: usize) -> Result<()> {
    say!(
        "\n{} images that no training saw, {prompts} prompts in the index:",
        figures.images
    );
    let row =
        |name: &str, value: f64, unit: &str| vec![name.to_owned(), format!("{value:.3}{unit}")];
    let rows = vec![
        row(
            "mean cosine, predicted embedding to true prompt",
            figures.mean_cosine,
            "",
        ),
        row(
            "mean cosine, answer to true prompt",
            figures.answer_cosine,
            "",
        ),
        row("recall@1 of the true prompt", figures.recall.at_1, ""),
        row("recall@10 of the true prompt", figures.recall.at_10, ""),
        row("answers that mean the same", figures.same_meaning, ""),
        row("encoding an image, median", figures.median_ms.encode, " ms"),
        row("search, median", figures.median_ms.search, " ms"),
        row(
            "putting the answer together, median",
            figures.median_ms.reconstruct,
            " ms",
        ),
    ];
    say!("{}", table::rows(&["figure", "value"], rows));
    say!("figures over more images, with their bounds: unprompt evaluate\n");
    Ok(())
}

fn entry(case: &Case) -> Entry {
    let answer = &case.answer;
    Entry {
        image: case.truth.render(),
        truth: case.truth.text.clone(),
        found: answer.prompt.clone(),
        note: format!(
            "{}, confidence {:.2}, cosine {:.2}",
            table::verdict(answer.verdict),
            answer.confidence,
            case.answer_cosine
        ),
        same: case.says_the_same(),
    }
}
