//! Reads every byte of an index against its checksum, which opening it does not.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::db::{Encoder, Index, at_one_commit};
use crate::error::{Error, Result};
use crate::manifest::{FileEntry, MANIFEST, Manifest, SegmentEntry, checksum};

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
/// [`Error::NotAnIndex`], [`Error::NewerFormat`], or [`Error::Io`] for what may not be read.
pub fn check(dir: &Path) -> Result<Report> {
    check_observed(dir, &mut |_, _| ControlFlow::Continue(()))
}

/// As [`check`]; `observe` is told how many bytes have been read, of how many, and may ask to stop by
/// answering [`ControlFlow::Break`].
///
/// # Errors
/// [`Error::Cancelled`] on request, and those of [`check`].
pub fn check_observed(
    dir: &Path,
    observe: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Report> {
    let mut report = Report::default();
    let checked = at_one_commit(dir, |manifest| {
        report = check_files(dir, manifest, observe)?;
        match report.damaged.first() {
            // An error, so that it is looked at again if a newer commit has removed the file.
            Some(Damage { path, why }) => Err(Error::corrupt(path, "bytes", why)),
            None => Ok(()),
        }
    });
    match checked {
        Ok(_) => Ok(report),
        Err(Error::Corrupt { path, why, .. }) => {
            if report.damaged.is_empty() {
                report.damaged.push(Damage { path, why });
            }
            Ok(report)
        }
        Err(error) => Err(error),
    }
}

fn check_files(
    dir: &Path,
    manifest: &Manifest<Encoder>,
    observe: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Report> {
    let path = dir.join(MANIFEST);
    let mut report = Report {
        files: 1,
        bytes: path.metadata().map_err(Error::io("read", &path))?.len(),
        damaged: Vec::new(),
    };
    let files = manifest.segments.iter().flat_map(SegmentEntry::all_files);
    let total = files.fold(report.bytes, |sum, file| sum.saturating_add(file.len));
    for segment in &manifest.segments {
        for (path, expected) in segment.files(dir)? {
            if observe(report.bytes, total).is_break() {
                return Err(Error::Cancelled);
            }
            match check_file(&path, expected)? {
                Ok(len) => {
                    report.files += 1;
                    report.bytes += len;
                }
                Err(why) => report.damaged.push(Damage { path, why }),
            }
        }
    }
    if report.damaged.is_empty() {
        Index::open(dir)?;
    }
    Ok(report)
}

/// The file's length, or what is wrong with its bytes.
fn check_file(path: &Path, expected: &FileEntry) -> Result<std::result::Result<u64, String>> {
    let (len, xxh3) = match checksum(path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Err("it is missing".into()));
        }
        other => other?,
    };
    Ok(if len != expected.len {
        Err(format!("it has {len} bytes instead of {}", expected.len))
    } else if xxh3 != expected.xxh3 {
        Err("its bytes are not those that were written".into())
    } else {
        Ok(len)
    })
}
