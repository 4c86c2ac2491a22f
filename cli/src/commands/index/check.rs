//! `index check`: reads every byte.

use std::path::Path;

use anyhow::Result;

use crate::output::status::DamageFound;

pub(super) fn run(index: &Path) -> Result<()> {
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
