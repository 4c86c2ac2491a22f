//! Why a model could not be had.

use std::fmt;
use std::path::PathBuf;

use super::one_line;

/// Why no source had a model, and how to place it by hand.
#[derive(Debug)]
pub struct Unavailable {
    /// The model's name.
    pub model: String,
    /// Each place and source that was tried, in order.
    pub tried: Vec<Attempt>,
    /// Where the missing files can be read about and downloaded by hand.
    pub url: String,
    /// The folder that they belong into.
    pub folder: PathBuf,
    /// The files still missing there.
    pub missing: Vec<MissingFile>,
}

/// One place or source that did not have a model.
#[derive(Debug)]
pub struct Attempt {
    /// The place or source.
    pub place: String,
    /// Why it was of no use.
    pub why: Box<dyn std::error::Error + Send + Sync>,
}

/// A file that a model needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingFile {
    /// The file's name in the model's folder.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
}

impl std::error::Error for Unavailable {}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cannot get the model {}; tried were", self.model)?;
        for attempt in &self.tried {
            writeln!(f, "  {}: {}", attempt.place, one_line(&*attempt.why))?;
        }
        writeln!(f, "To place it by hand, download from {}", self.url)?;
        write!(f, "into {}", self.folder.display())?;
        for file in &self.missing {
            write!(
                f,
                "\n  {}  {} bytes  SHA-256 {}",
                file.name, file.size_bytes, file.sha256
            )?;
        }
        Ok(())
    }
}
