//! `index build`, `index stats`, `index check`.

use std::path::Path;

use anyhow::{Result, bail};
use unprompt::data::read::{self, ReadOptions, Summary};
use unprompt::data::records::Records;
use unprompt::data::row::Row;
use unprompt::data::source::Source;
use unprompt::indexing;
use unprompt::pocket::{Prompts, Split};
use unprompt_index::{BuildOptions, Index, Stats};

use super::sentence_encoder;
use crate::args::{BuildArgs, Global};
use crate::output::progress::{Progress, Unit};
use crate::output::stages::Stages;
use crate::output::status::DamageFound;
use crate::output::table;
use crate::stop;

/// Seed of the pocket prompts of an index.
const POCKET_SEED: u64 = 1;

pub(crate) fn build(args: &BuildArgs, global: &Global) -> Result<()> {
    // Reading may take minutes: say now what would fail then.
    if Index::open(&args.out).is_ok() {
        return Err(unprompt_index::Error::AlreadyAnIndex {
            path: args.out.clone(),
        }
        .into());
    }
    let (records, summary) = collect(args, global)?;
    let Summary {
        notes,
        problems,
        missing,
        ..
    } = &summary;
    for line in notes.iter().chain(problems).chain(missing) {
        tracing::warn!("{line}");
    }
    let records = records.into_prompts();
    if records.is_empty() {
        bail!("no prompts in {}: nothing to index", list(&args.sources));
    }
    let options = BuildOptions {
        threads: args.threads,
        ..BuildOptions::default()
    };
    let mut sentences = sentence_encoder(global)?;
    if let Some(threads) = std::num::NonZeroUsize::new(args.threads) {
        sentences = sentences.with_threads(threads)?;
    }
    if let Some(texts) = args.batch_size {
        sentences = sentences.with_batch_size(texts);
    }
    let mut stages = Stages::new(global.quiet);
    let stats = indexing::build(records, &args.out, &sentences, options, &mut |event| {
        stages.show(event);
        stop::requested()
    })?;
    drop(stages);
    say!(
        "{} prompts with {} images from {} rows ({} without a prompt, {} unreadable) in {}",
        stats.prompts,
        stats.images,
        summary.rows,
        summary.empty,
        summary.invalid,
        args.out.display()
    );
    Ok(())
}

fn collect(args: &BuildArgs, global: &Global) -> Result<(Records, Summary)> {
    let options = ReadOptions {
        text_column: args.text_column.clone(),
        limit: args.limit,
        dim: None,
    };
    let (mut records, mut summary) = (Records::default(), Summary::default());
    let mut progress = Progress::new("reading rows", None, Unit::Count, global.quiet);
    let mut rows = 0;
    let mut stopped = false;
    let mut take = |row: Row| {
        records.add(row);
        rows += 1;
        progress.set(rows, "");
        let answer = stop::requested();
        stopped |= answer.is_break();
        answer
    };
    for source in &args.sources {
        match source {
            Source::Path(path) => summary += read::read(path, &options, &mut take)?,
            Source::Pocket { prompts } => {
                let wanted = options.limit.map_or(*prompts, |limit| limit.min(*prompts));
                for prompt in Prompts::new(POCKET_SEED, Split::Test).take(wanted) {
                    if take(Row {
                        prompt: prompt.text,
                        ..Row::default()
                    })
                    .is_break()
                    {
                        break;
                    }
                    summary.rows += 1;
                }
            }
        }
    }
    if stopped {
        return Err(unprompt::Error::Cancelled.into());
    }
    Ok((records, summary))
}

fn list(sources: &[Source]) -> String {
    sources
        .iter()
        .map(Source::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

pub(crate) fn stats(index: &Path, json: bool) -> Result<()> {
    let stats = Index::open(index)?.stats()?;
    if json {
        say!("{}", serde_json::to_string(&stats)?);
    } else {
        say!("{}", describe(&stats));
    }
    Ok(())
}

fn describe(stats: &Stats) -> comfy_table::Table {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let bytes = stats.bytes;
    table::pairs(&[
        ("prompts", stats.prompts.to_string()),
        ("images", stats.images.to_string()),
        ("segments", stats.segments.to_string()),
        ("generation", stats.generation.to_string()),
        (
            "encoder",
            format!("{}, {} dimensions", stats.encoder.name, stats.encoder.dim),
        ),
        ("encoder SHA-256", stats.encoder.digest.clone()),
        ("vectors", mib(bytes.vectors)),
        ("graph", mib(bytes.graph)),
        ("keywords and texts", mib(bytes.prompts)),
        ("image rows", mib(bytes.images)),
        ("in all", mib(bytes.total)),
    ])
}

pub(crate) fn check(index: &Path) -> Result<()> {
    let report = unprompt_index::check(index)?;
    for damage in &report.damaged {
        say!("{}: {}", damage.path.display(), damage.why);
    }
    if report.damaged.is_empty() {
        say!(
            "{} files, {} bytes: all as written",
            report.files,
            report.bytes
        );
        Ok(())
    } else {
        Err(DamageFound.into())
    }
}
