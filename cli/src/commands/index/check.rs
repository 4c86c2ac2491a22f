//! `index check`: reads every byte.

use std::path::Path;

use anyhow::Result;

use crate::args::Global;
use crate::output::stages::Stages;
use crate::output::status::DamageFound;
use crate::stop;

pub(super) fn run(index: &Path, global: &Global) -> Result<()> {
    let mut stages = Stages::new(global.quiet);
    let report = unprompt_index::check_observed(index, &mut |bytes, total| {
        stages.bytes("reading", bytes, total);
        stop::requested()
    })?;
    drop(stages);
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
