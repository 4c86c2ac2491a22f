//! What can go wrong, in one enum: every message says what, where, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that this crate reports. The message is one line; a cause, where there is one, is in
/// [`std::error::Error::source`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A vector of another length than the index was made for.
    #[error(
        "a vector of {got} numbers was given, but this index holds vectors of {expected}: use the \
         encoder that the index names"
    )]
    Dim {
        /// Numbers a vector of this index has.
        expected: usize,
        /// Numbers that were given.
        got: usize,
    },
    /// A vector that no cosine can be taken with.
    #[error("vector refused: {why}; give finite numbers, scaled to length 1")]
    Vector {
        /// What is wrong with it.
        why: String,
    },
    /// An option outside its range.
    #[error("option {name}: {why}")]
    Option {
        /// The field of the options.
        name: &'static str,
        /// Its value and its range.
        why: String,
    },
    /// Bytes that are not what was written.
    #[error("{path} is damaged ({section}): {why}; restore it from a copy or build the index anew")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The part of the file.
        section: &'static str,
        /// What was found, and what was expected.
        why: String,
    },
    /// The folder holds no index.
    #[error("{path} is not an index: {why}")]
    NotAnIndex {
        /// The folder.
        path: PathBuf,
        /// What is missing, and what to do.
        why: String,
    },
    /// The folder holds an index already.
    #[error(
        "{path} already holds an index; add to it with `unprompt index add`, choose another \
         folder, or remove it first"
    )]
    AlreadyAnIndex {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds files that are none of ours; nothing was touched.
    #[error("{path} holds `{name}`, which is no part of an index; choose an empty or a new folder")]
    ForeignFile {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        name: String,
    },
    /// Another writer is at work.
    #[error("{path} is being written by another process; wait until it has finished")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Written by a newer version of this crate.
    #[error(
        "{path} has format version {found}, but this program reads up to {supported}: use a newer \
         program"
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this crate reads.
        supported: u32,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted, as a verb.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The keyword or image index failed while being written.
    #[error("cannot {action} {path}")]
    Tantivy {
        /// Its folder.
        path: PathBuf,
        /// What was attempted, as a verb.
        action: &'static str,
        /// The cause.
        source: Box<tantivy::TantivyError>,
    },
    /// A filter that cannot be understood.
    #[error("filter refused: {why}")]
    Filter {
        /// What is wrong, and what would be right.
        why: String,
    },
    /// An entry of another index, or of none.
    #[error("entry {entry} is not in this index: take entries from this index only")]
    NoSuchEntry {
        /// The entry, as segment:ordinal.
        entry: String,
    },
    /// A prompt was added without a vector, and none is known of it.
    #[error("no vector is known of `{prompt}`: stage one first, or push the prompt with it")]
    NoVector {
        /// The start of the prompt.
        prompt: String,
    },
    /// A segment holds all it can.
    #[error("{path} is full: one segment holds at most {limit} {what}")]
    Full {
        /// The folder.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// How many fit.
        limit: usize,
    },
    /// The caller asked to stop; the index is as it was.
    #[error("stopped on request; the index is as it was before")]
    Cancelled,
}

impl Error {
    /// A closure for `map_err` that keeps what was attempted and where.
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
        move |source| Error::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }

    /// Damage in `section` of the file at `path`.
    pub(crate) fn corrupt(path: &Path, section: &'static str, why: impl Into<String>) -> Error {
        Error::Corrupt {
            path: path.to_owned(),
            section,
            why: why.into(),
        }
    }
}

/// Text from outside for a message, which is one line.
pub(crate) fn one_line(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(visible).collect()
}
