//! `index build` and `index add`: from sources to an index.

use std::cell::Cell;
use std::ops::ControlFlow;

use anyhow::{Result, bail};
use unprompt::data::read::{self, ReadOptions, Summary};
use unprompt::data::row::Row;
use unprompt::data::source::Source;
use unprompt::indexing::{Ingest, Ingested};
use unprompt::pocket::{Prompts, Split};
use unprompt::text::SentenceEncoder;
use unprompt_index::Index;

use super::build_options;
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
    let ingest = Ingest::create(&args.out, &sentences, options)?;
    let (summary, done) = take(ingest, &args.sources, global)?;
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
    let before = Index::open(&args.index)?.stats()?;
    let sentences = encoder(&args.sources, global)?;
    let options = build_options(args.sources.threads);
    let ingest = Ingest::open(&args.index, &sentences, options)?;
    let (summary, done) = take(ingest, &args.sources, global)?;
    let stats = &done.stats;
    say!(
        "{} new prompts and {} new images from {}; {} prompts with {} images in {}",
        done.added,
        stats.images.saturating_sub(before.images),
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

/// Reads the sources, tells what could not be read, and finishes.
fn take(mut ingest: Ingest<'_>, args: &SourceArgs, global: &Global) -> Result<(Summary, Ingested)> {
    if ingest.staged() > 0 && !global.quiet {
        eprintln!(
            "an unfinished build or addition has left {} embedded prompts here: those of this source \
             are not embedded again, others are dropped in the end",
            ingest.staged()
        );
    }
    let summary = read_all(&mut ingest, args, global)?;
    warn(&summary);
    if ingest.is_empty() {
        bail!("no prompts in {}: nothing to index", list(&args.sources));
    }
    let mut stages = Stages::new(global.quiet);
    let done = ingest.finish(&mut |event| {
        stages.show(event);
        stop::requested()
    });
    drop(stages);
    if matches!(done, Err(unprompt::Error::Cancelled)) && !global.quiet {
        eprintln!("what has been embedded is kept: the same command goes on where it was");
    }
    Ok((summary, done?))
}

fn read_all(ingest: &mut Ingest<'_>, args: &SourceArgs, global: &Global) -> Result<Summary> {
    let options = ReadOptions {
        text_column: args.text_column.clone(),
        limit: args.limit,
        dim: Some(ingest.dim()),
    };
    let mut summary = Summary::default();
    let mut progress = Progress::new("reading rows", None, Unit::Count, global.quiet);
    let mut rows = 0;
    let mut outcome = Ok(());
    let stopped = Cell::new(false);
    let mut take = |row: Row| {
        rows += 1;
        progress.set(rows, "");
        outcome = ingest
            .take(row)
            .map_err(Into::into)
            .and_then(|()| stop::check());
        stopped.set(outcome.is_err());
        if outcome.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    for source in &args.sources {
        summary += match source {
            Source::Path(path) => read::read(path, &options, &mut take)?,
            Source::Pocket { prompts } => {
                let wanted = options.limit.map_or(*prompts, |limit| limit.min(*prompts));
                pocket(wanted, &mut take)
            }
        };
        if stopped.get() {
            break;
        }
    }
    outcome.map(|()| summary)
}

/// Gives out prompts of the pocket world.
fn pocket(wanted: usize, take: &mut dyn FnMut(Row) -> ControlFlow<()>) -> Summary {
    let mut summary = Summary::default();
    for prompt in Prompts::new(POCKET_SEED, Split::Test).take(wanted) {
        summary.rows += 1;
        let row = Row {
            prompt: prompt.text,
            ..Row::default()
        };
        if take(row).is_break() {
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
    format!(
        "{} rows ({} without a prompt, {} unreadable)",
        summary.rows, summary.empty, summary.invalid
    )
}

fn list(sources: &[Source]) -> String {
    sources
        .iter()
        .map(Source::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
