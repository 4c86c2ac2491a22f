//! `index stats`: counts and sizes.

use std::path::Path;

use anyhow::Result;
use unprompt_index::{Index, Stats};

use crate::output::table;

pub(super) fn run(index: &Path, json: bool) -> Result<()> {
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
    let count = |live: usize, deleted: usize| match deleted {
        0 => live.to_string(),
        _ => format!("{live}, and {deleted} deleted that `index compact` drops"),
    };
    let bytes = stats.bytes;
    table::pairs(&[
        ("prompts", count(stats.prompts, stats.deleted_prompts)),
        ("images", count(stats.images, stats.deleted_images)),
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
