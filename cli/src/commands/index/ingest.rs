//! `index build` and `index add`: from sources to an index.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use unprompt::data::gallery::{self, KnownFiles};
use unprompt::data::read::{self, ReadOptions, Sink, Summary};
use unprompt::data::row::Row;
use unprompt::data::source::Source;
use unprompt::image::files;
use unprompt::indexing::{Ingest, Ingested};
use unprompt::pocket::{Prompts, Split};
use unprompt::text::SentenceEncoder;
use unprompt_index::{ImageRecord, Index};

use super::build_options;
use super::predict::Predictions;
use crate::args::{AddArgs, BuildArgs, Global, SourceArgs};
use crate::commands::sentences;
use crate::output::progress::{Progress, Unit};
use crate::output::stages::Stages;
use crate::stop;

/// Seed of the pocket prompts of an index.
const POCKET_SEED: u64 = 1;

/// Predictions that are committed together.
const PREDICTED_AT_ONCE: usize = 256;

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
    let sentences = encoder(&args.sources, || sentences::chosen(global))?;
    let options = build_options(args.sources.threads);
    let mut ingest = Ingest::create(&args.out, &sentences, options)?;
    let known = Arc::default();
    let summary = Reading::new(&mut ingest, known, global).all(&args.sources)?;
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
    let index = Index::open(&args.index)?;
    let before = index.stats()?;
    let model = args.predict.then_some(args.model.as_str());
    let sentences = encoder(sources, || sentences::of_index(&index, model, global))?;
    let sentences = Arc::new(sentences);
    let predictions = if args.predict {
        let sentences = sentences.clone();
        Some(Predictions::open(
            &args.index,
            &args.model,
            sentences,
            global,
        )?)
    } else {
        None
    };
    let options = build_options(sources.threads);
    let mut ingest = Ingest::open(&args.index, &sentences, options)?;
    let known = match sources.sources.iter().any(may_be_gallery) {
        true => Arc::new(ingest.known_files()?),
        false => Arc::default(),
    };
    let mut reading = Reading::new(&mut ingest, known.clone(), global);
    reading.prunes = args.prune;
    reading.predicts = args.predict;
    let summary = reading.all(sources)?;
    let silent = std::mem::take(&mut reading.silent);
    if args.prune {
        for folder in sources.sources.iter().filter_map(folder) {
            ingest.prune(folder, &known)?;
        }
    }
    let is_empty = ingest.is_empty() && ingest.removed() == 0 && silent.is_empty();
    if is_empty && summary.unchanged == 0 {
        bail!("{}: nothing to add", nothing(sources, &summary));
    }
    let mut done = finish(ingest, global)?;
    let mut predicted = 0;
    if let Some(predictions) = predictions {
        // Each in a commit of its own: what has been predicted stays, whatever happens to the others.
        for some in silent.chunks(PREDICTED_AT_ONCE) {
            let rows = predictions.make(some, (predicted, silent.len()), global)?;
            predicted += rows.len();
            let mut ingest = Ingest::open(&args.index, &sentences, options)?;
            for (file, row) in rows {
                if known.is_predicted(&file) {
                    ingest.replace(&file)?;
                }
                ingest.take(row)?;
            }
            let new = finish(ingest, global)?;
            done.added += new.added;
            done.stats = new.stats;
        }
    }
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

/// A path that is no single data file: a folder, there or gone.
fn folder(source: &Source) -> Option<&Path> {
    match source {
        Source::Path(path) if !path.is_file() => Some(path),
        _ => None,
    }
}

fn may_be_gallery(source: &Source) -> bool {
    match source {
        Source::Path(path) => !path.is_file() || files::is_image(path),
        Source::Pocket { .. } => false,
    }
}

fn encoder(
    args: &SourceArgs,
    open: impl FnOnce() -> Result<SentenceEncoder>,
) -> Result<SentenceEncoder> {
    let threads = NonZeroUsize::new(args.threads);
    if let Some(threads) = threads {
        // Files are read, and images predicted, by the pool that all share, before anything else starts it.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get());
        pool.build_global().context("cannot start the threads")?;
    }
    let mut sentences = open()?;
    if let Some(threads) = threads {
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
    match done {
        Ok(_) => stages.finish(),
        Err(_) => drop(stages),
    }
    if matches!(done, Err(unprompt::Error::Cancelled)) && !global.quiet {
        eprintln!("what has been embedded is kept: the same command goes on where it was");
    }
    Ok(done?)
}

/// Hands on what is read, shows how far it is, and ends the reading after a failure or Ctrl-C.
struct Reading<'a, 'b> {
    ingest: &'a mut Ingest<'b>,
    /// Image files that the index had before.
    known: Arc<KnownFiles>,
    /// Whether a folder that is gone may be named, if the index knows files that were in it.
    prunes: bool,
    /// Whether image files without a prompt are kept in `silent`.
    predicts: bool,
    silent: Vec<ImageRecord>,
    rows: u64,
    progress: Progress,
    files: Option<Progress>,
    quiet: bool,
    outcome: Result<()>,
}

impl<'a, 'b> Reading<'a, 'b> {
    fn new(ingest: &'a mut Ingest<'b>, known: Arc<KnownFiles>, global: &Global) -> Self {
        Self {
            ingest,
            known,
            prunes: false,
            predicts: false,
            silent: Vec::new(),
            rows: 0,
            progress: Progress::new("reading rows", None, Unit::Count, global.quiet),
            files: None,
            quiet: global.quiet,
            outcome: Ok(()),
        }
    }

    /// Reads the sources, and tells what could not be read.
    fn all(&mut self, args: &SourceArgs) -> Result<Summary> {
        if self.ingest.staged() > 0 && !self.quiet {
            eprintln!(
                "an unfinished build or addition has left {} embedded prompts here: those of this source \
                 are not embedded again, others are dropped in the end",
                self.ingest.staged()
            );
        }
        let options = ReadOptions {
            text_column: args.text_column.clone(),
            limit: args.limit,
            dim: Some(self.ingest.dim()),
            known_files: self.known.clone(),
        };
        let mut summary = Summary::default();
        for source in &args.sources {
            summary += match source {
                Source::Path(path) if self.is_gone(path)? => Summary::default(),
                Source::Path(path) => read::read(path, &options, self)?,
                Source::Pocket { prompts } => {
                    let wanted = options.limit.map_or(*prompts, |limit| limit.min(*prompts));
                    pocket(wanted, self)
                }
            };
            self.files = None;
            if self.outcome.is_err() {
                break;
            }
        }
        std::mem::replace(&mut self.outcome, Ok(()))?;
        self.progress.finish();
        self.silent.sort_by(|a, b| a.image_name.cmp(&b.image_name));
        self.silent.dedup_by(|a, b| a.image_name == b.image_name);
        self.silent.truncate(args.limit.unwrap_or(usize::MAX));
        warn(&summary);
        Ok(summary)
    }

    fn is_gone(&self, path: &Path) -> Result<bool> {
        let known = || -> Result<bool> {
            let folder = gallery::whole_folder(path)?;
            Ok(self.known.below(&folder).next().is_some())
        };
        Ok(self.prunes && !path.exists() && known()?)
    }

    fn go_on(&mut self, taken: unprompt::Result<()>) -> ControlFlow<()> {
        self.outcome = taken.map_err(Into::into).and_then(|()| stop::check());
        if self.outcome.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

impl Sink for Reading<'_, '_> {
    fn row(&mut self, row: Row) -> ControlFlow<()> {
        self.rows += 1;
        if self.files.is_none() {
            self.progress.set(self.rows, "");
        }
        let taken = self.ingest.take(row);
        self.go_on(taken)
    }

    fn changed(&mut self, name: &str) -> ControlFlow<()> {
        let replaced = self.ingest.replace(name);
        self.go_on(replaced)
    }

    fn without_prompt(&mut self, image: ImageRecord) -> ControlFlow<()> {
        let name = &image.image_name;
        tracing::info!("no prompt in {name}");
        // What was predicted stays until it is predicted again.
        let removed = match self.known.contains(name) && !self.known.is_predicted(name) {
            true => self.ingest.remove(name),
            false => Ok(()),
        };
        if self.predicts {
            self.silent.push(image);
        }
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
