//! Reads every byte of an index against its checksum.
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Result;

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files read.
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

/// Reads every byte of the index at `dir` against its checksum.
///
/// # Errors
/// When there is no index at `dir`, or its MANIFEST cannot be read.
pub fn check(dir: &Path) -> Result<Report> {
    unimplemented!("{}", dir.display())
}
