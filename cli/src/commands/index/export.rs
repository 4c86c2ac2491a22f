//! `index export`: a Parquet file for other tools.

use std::path::Path;

use anyhow::{Result, bail};
use unprompt::indexing;
use unprompt_index::Index;

use crate::args::Global;
use crate::output::progress::{Progress, Unit};
use crate::stop;

pub(super) fn run(index: &Path, out: &Path, global: &Global) -> Result<()> {
    if out.is_dir() {
        bail!("{} is a folder; name a file to write", out.display());
    }
    if out.extension().is_none_or(|ending| ending != "parquet") {
        bail!(
            "{} does not end in .parquet, which is what is written",
            out.display()
        );
    }
    let index = Index::open(index)?;
    let total = index.len() as u64;
    let mut progress = Progress::new("writing prompts", Some(total), Unit::Count, global.quiet);
    indexing::export(&index, out, &mut |done| {
        progress.set(done as u64, "");
        stop::requested()
    })?;
    progress.finish();
    say!("{total} prompts written to {}", out.display());
    Ok(())
}
