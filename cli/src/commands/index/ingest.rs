//! `index build` and `index add`: from sources to an index.

use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Result, bail};
use unprompt::data::read::{self, ReadOptions, Sink, Summary};
use unprompt::data::row::Row;
use unprompt::data::source::Source;
use unprompt::indexing::{Ingest, Ingested};
use unprompt::pocket::{Prompts, Split};
use unprompt::text::SentenceEncoder;
use unprompt_index::{ImageRecord, Index};

use super::build_options;
use super::predict::Predictions;
use crate::args::{AddArgs, BuildArgs, Global, SourceArgs};
use crate::commands::sentence_encoder;
use crate::output::progress::{Progress, Unit};
use crate::output::stages::Stages;
use crate::stop;

/// Seed of the pocket prompts of an index.
const POCKET_SEED: u64 = 1;

/// Files that are missing which are named one by one.
const MISSING_SHOWN: usize = 10;

pub(super) fn build(args: &BuildArgs, global: &Global) -> Result<()> {
    // Fetching a model may take minutes: say now what would fail then.
    if Index::open(&args.out).is_ok() {
        return Err(unprompt_index::Error::AlreadyAnIndex {
            path: args.out.clone(),
        }
        .into());
    }
    let sentences = encoder(&args.sources, global)?;
    let options = build_options(args.sources.threads);
    let mut ingest = Ingest::create(&args.out, &sentences, options)?;
    let summary = read_all(&mut ingest, &args.sources, global, &mut |_| {})?;
    if ingest.is_empty() {
        bail!("{}: nothing to index", nothing(&args.sources, &summary));
    }
    let done = finish(ingest, global)?;
    let stats = &done.stats;
    say!(
        "{} prompts with {} images from {} in {}",
        stats.prompts,
        stats.images,
        rows(&summary),
        args.out.display()
    );
    Ok(())
}

pub(super) fn add(args: &AddArgs, global: &Global) -> Result<()> {
    let sources = &args.sources;
    let before = Index::open(&args.index)?.stats()?;
    let sentences = Arc::new(encoder(sources, global)?);
    let options = build_options(sources.threads);
    let mut ingest = Ingest::open(&args.index, &sentences, options)?;
    let mut silent = Vec::new();
    let summary = read_all(&mut ingest, sources, global, &mut |image| {
        if args.predict {
            silent.push(image);
        }
    })?;
    let mut predicted = 0;
    if !silent.is_empty() {
        let predictions = Predictions::open(&args.index, &args.model, sentences.clone(), global)?;
        predicted = predictions.make(silent, &mut |row| Ok(ingest.take(row)?), global)?;
    }
    if args.prune {
        for source in &sources.sources {
            if let Source::Path(path) = source
                && path.is_dir()
            {
                ingest.prune(path)?;
            }
        }
    }
    if ingest.is_empty() && summary.unchanged == 0 && ingest.removed() == 0 {
        bail!("{}: nothing to add", nothing(sources, &summary));
    }
    let done = finish(ingest, global)?;
    let stats = &done.stats;
    let also = |count, what| match count {
        0 => String::new(),
        count => format!(", {count} {what}"),
    };
    say!(
        "{} new prompts and {} new images{}{} from {}; {} prompts with {} images in {}",
        done.added,
        (stats.images + done.removed).saturating_sub(before.images),
        also(predicted, "with a predicted prompt"),
        also(done.removed, "images removed"),
        rows(&summary),
        stats.prompts,
        stats.images,
        args.index.display()
    );
    Ok(())
}

fn encoder(args: &SourceArgs, global: &Global) -> Result<SentenceEncoder> {
    let mut sentences = sentence_encoder(global)?;
    if let Some(threads) = std::num::NonZeroUsize::new(args.threads) {
        sentences = sentences.with_threads(threads)?;
    }
    if let Some(texts) = args.batch_size {
        sentences = sentences.with_batch_size(texts);
    }
    Ok(sentences)
}

/// Embeds and writes.
fn finish(ingest: Ingest<'_>, global: &Global) -> Result<Ingested> {
    let mut stages = Stages::new(global.quiet);
    let done = ingest.finish(&mut |event| {
        stages.show(event);
        stop::requested()
    });
    drop(stages);
    if matches!(done, Err(unprompt::Error::Cancelled)) && !global.quiet {
        eprintln!("what has been embedded is kept: the same command goes on where it was");
    }
    Ok(done?)
}

/// Reads the sources, and tells what could not be read. Image files without a prompt go to `silent`.
fn read_all(
    ingest: &mut Ingest<'_>,
    args: &SourceArgs,
    global: &Global,
    silent: &mut dyn FnMut(ImageRecord),
) -> Result<Summary> {
    if ingest.staged() > 0 && !global.quiet {
        eprintln!(
            "an unfinished build or addition has left {} embedded prompts here: those of this source \
             are not embedded again, others are dropped in the end",
            ingest.staged()
        );
    }
    let options = ReadOptions {
        text_column: args.text_column.clone(),
        limit: args.limit,
        dim: Some(ingest.dim()),
        known_files: ingest.known_files().clone(),
    };
    let mut summary = Summary::default();
    let mut taking = Taking {
        ingest,
        silent,
        rows: 0,
        progress: Progress::new("reading rows", None, Unit::Count, global.quiet),
        files: None,
        quiet: global.quiet,
        outcome: Ok(()),
    };
    for source in &args.sources {
        summary += match source {
            Source::Path(path) => read::read(path, &options, &mut taking)?,
            Source::Pocket { prompts } => {
                let wanted = options.limit.map_or(*prompts, |limit| limit.min(*prompts));
                pocket(wanted, &mut taking)
            }
        };
        taking.files = None;
        if taking.outcome.is_err() {
            break;
        }
    }
    taking.outcome?;
    warn(&summary);
    Ok(summary)
}

/// Hands on what is read, shows how far it is, and ends the reading after a failure or Ctrl-C.
struct Taking<'a, 'b> {
    ingest: &'a mut Ingest<'b>,
    silent: &'a mut dyn FnMut(ImageRecord),
    rows: u64,
    progress: Progress,
    files: Option<Progress>,
    quiet: bool,
    outcome: Result<()>,
}

impl Taking<'_, '_> {
    fn go_on(&mut self, taken: unprompt::Result<()>) -> ControlFlow<()> {
        self.outcome = taken.map_err(Into::into).and_then(|()| stop::check());
        if self.outcome.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

impl Sink for Taking<'_, '_> {
    fn row(&mut self, row: Row) -> ControlFlow<()> {
        self.rows += 1;
        if self.files.is_none() {
            self.progress.set(self.rows, "");
        }
        let taken = self.ingest.take(row);
        self.go_on(taken)
    }

    fn without_prompt(&mut self, image: ImageRecord) -> ControlFlow<()> {
        tracing::info!("no prompt in {}", image.image_name);
        let removed = self.ingest.remove(&image.image_name);
        (self.silent)(image);
        self.go_on(removed)
    }

    fn looked_at(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        let quiet = self.quiet;
        let files = self.files.get_or_insert_with(|| {
            Progress::new("reading images", Some(total as u64), Unit::Count, quiet)
        });
        files.set(done as u64, "");
        self.go_on(Ok(()))
    }
}

/// Gives out prompts of the pocket world.
fn pocket(wanted: usize, sink: &mut dyn Sink) -> Summary {
    let mut summary = Summary::default();
    for prompt in Prompts::new(POCKET_SEED, Split::Test).take(wanted) {
        summary.rows += 1;
        let row = Row {
            prompt: prompt.text,
            ..Row::default()
        };
        if sink.row(row).is_break() {
            break;
        }
    }
    summary
}

fn warn(summary: &Summary) {
    for line in summary.notes.iter().chain(&summary.problems) {
        tracing::warn!("{line}");
    }
    for line in summary.missing.iter().take(MISSING_SHOWN) {
        tracing::warn!("{line}");
    }
    if let Some(more @ 1..) = summary.missing.len().checked_sub(MISSING_SHOWN) {
        tracing::warn!("and {more} more that are missing");
    }
}

/// How many rows there were, and what was wrong with some.
fn rows(summary: &Summary) -> String {
    let unchanged = match summary.unchanged {
        0 => String::new(),
        unchanged => format!(", {unchanged} unchanged files"),
    };
    format!(
        "{} rows ({} without a prompt, {} unreadable{unchanged})",
        summary.rows, summary.empty, summary.invalid
    )
}

fn nothing(args: &SourceArgs, summary: &Summary) -> String {
    let found = match (summary.empty, summary.invalid) {
        (0, 0) => String::new(),
        (empty, invalid) => format!(" ({empty} without one, {invalid} unreadable)"),
    };
    format!("no prompts in {}{found}", list(&args.sources))
}

fn list(sources: &[Source]) -> String {
    sources
        .iter()
        .map(Source::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
