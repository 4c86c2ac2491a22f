//! Reads every byte of an index against its checksum, which opening it does not.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::db::{Encoder, Index};
use crate::error::{Error, Result};
use crate::manifest::{FileEntry, MANIFEST, Manifest, checksum};

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files read, the MANIFEST included.
    pub files: usize,
    /// Bytes read.
    pub bytes: u64,
    /// What is damaged; empty for a sound index.
    pub damaged: Vec<Damage>,
}

/// A damaged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Reads every byte of the index at `dir` against the checksums of its MANIFEST, then opens it.
/// Damage is no error of this call but a line of its report.
///
/// # Errors
/// [`Error::NotAnIndex`], [`Error::NewerFormat`], or [`Error::Io`] for the MANIFEST.
pub fn check(dir: &Path) -> Result<Report> {
    let mut report = Report::default();
    let manifest = match Manifest::<Encoder>::read(dir) {
        Err(Error::Corrupt { path, why, .. }) => {
            report.damaged.push(Damage { path, why });
            return Ok(report);
        }
        other => other?,
    };
    let path = dir.join(MANIFEST);
    report.files += 1;
    report.bytes += path.metadata().map_or(0, |metadata| metadata.len());
    for segment in &manifest.segments {
        let files = match segment.files(dir) {
            Ok(files) => files,
            Err(error) => {
                report.damaged.push(Damage {
                    path: path.clone(),
                    why: error.to_string(),
                });
                continue;
            }
        };
        for (path, expected) in files {
            match read(&path, expected) {
                Ok(len) => {
                    report.files += 1;
                    report.bytes += len;
                }
                Err(why) => report.damaged.push(Damage { path, why }),
            }
        }
    }
    if report.damaged.is_empty()
        && let Err(error) = Index::open(dir)
    {
        let (path, why) = match error {
            Error::Corrupt { path, why, .. } => (path, why),
            other => (dir.to_owned(), other.to_string()),
        };
        report.damaged.push(Damage { path, why });
    }
    Ok(report)
}

/// The file's length, or what is wrong with it.
fn read(path: &Path, expected: &FileEntry) -> std::result::Result<u64, String> {
    if !path.exists() {
        return Err("it is missing".into());
    }
    let (len, xxh3) = checksum(path).map_err(|error| match error {
        Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    })?;
    if len != expected.len {
        return Err(format!("it has {len} bytes instead of {}", expected.len));
    }
    if xxh3 != expected.xxh3 {
        return Err("its bytes are not those that were written".into());
    }
    Ok(len)
}
