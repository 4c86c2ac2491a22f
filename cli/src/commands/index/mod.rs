//! `index` and its parts, one file each.

mod check;
mod delete;
mod export;
mod ingest;
mod predict;
mod stats;

use anyhow::Result;
use unprompt_index::{BuildOptions, Stats};

use crate::args::{Global, IndexCommand};
use crate::output::stages::Stages;
use crate::stop;

pub(crate) fn run(command: &IndexCommand, global: &Global) -> Result<()> {
    match command {
        IndexCommand::Build(args) => ingest::build(args, global),
        IndexCommand::Add(args) => ingest::add(args, global),
        IndexCommand::Delete(args) => delete::run(args, global),
        IndexCommand::Stats { index, json } => stats::run(index, *json),
        IndexCommand::Check { index } => check::run(index, global),
        IndexCommand::Compact { index, threads } => compact(index, *threads, global),
        IndexCommand::Export { index, out } => export::run(index, out, global),
    }
}

fn build_options(threads: usize) -> BuildOptions {
    BuildOptions {
        threads,
        ..BuildOptions::default()
    }
}

fn compact(index: &std::path::Path, threads: usize, global: &Global) -> Result<()> {
    let before = unprompt_index::Index::open(index)?.stats()?;
    let mut stages = Stages::new(global.quiet);
    let after = unprompt_index::compact(index, build_options(threads), &mut |phase| {
        stages.writing(phase);
        stop::requested()
    })?;
    stages.finish();
    let mib = |stats: &Stats| stats.bytes.total as f64 / f64::from(1 << 20);
    say!(
        "{} prompts; segments {} -> {}, {:.1} -> {:.1} MiB",
        after.prompts,
        before.segments,
        after.segments,
        mib(&before),
        mib(&after)
    );
    Ok(())
}
