//! Files as byte slices, read by the operating system when touched.
//!
//! # The risk
//! Rust wants a `&[u8]` never to change while it is borrowed, and no operating system promises
//! that of a mapped file. What we rely on instead: the files of a segment are written once, before
//! the MANIFEST names them, and this crate never changes them afterwards. Where another program
//! does so all the same, these are the consequences:
//! - bytes that are *overwritten* change beneath a search, which then gives a wrong answer or an
//!   error: every id and every number taken from a mapping is checked where it is used;
//! - a file that is *cut short* makes the next access beyond its end fail with SIGBUS, which ends
//!   the process. There is no way to prevent that short of reading files whole.
//!
//! Deleting or renaming a file is harmless: the mapping keeps it.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file mapped for reading.
#[derive(Debug)]
pub(crate) struct Mmap(memmap2::Mmap);

impl Mmap {
    /// Maps the whole of `path`; an empty file gives an empty slice.
    pub(crate) fn open(path: &Path) -> Result<Mmap> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        // SAFETY: the promise that nobody changes the file is kept by this crate, for its
        // files are write-once, or mapped while they only grow, and by whoever owns the folder;
        // see the head of this module for what a broken promise leads to.
        let map = unsafe { memmap2::Mmap::map(&file) };
        map.map(Mmap).map_err(Error::io("map", path))
    }
}

/// What is read of a file to open it, at its start and at its end: a block of those that are checked
/// as a whole, or two where it ends in the second.
const READ_TO_OPEN: usize = 1 << 17;

/// Has the system read both ends of files, all at the same time: one after the other, they would take
/// as many waits for a disk. Files that are not there are found missing by whoever opens them.
pub(crate) fn read_ends_ahead(paths: impl Iterator<Item = PathBuf>) {
    for path in paths {
        let Ok(map) = Mmap::open(&path) else {
            continue;
        };
        // Some systems have no such call.
        #[cfg(unix)]
        for start in [0, map.0.len().saturating_sub(READ_TO_OPEN)] {
            let len = READ_TO_OPEN.min(map.0.len());
            // It is advice: where it is not taken, opening waits.
            let _ = map.0.advise_range(memmap2::Advice::WillNeed, start, len);
        }
    }
}

impl AsRef<[u8]> for Mmap {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_file_even_when_there_are_none() {
        let dir = tempfile::tempdir().unwrap();
        for content in [&b""[..], b"x", &[7; 10_000]] {
            let path = dir.path().join(content.len().to_string());
            std::fs::write(&path, content).unwrap();
            assert_eq!(Mmap::open(&path).unwrap().as_ref(), content);
        }
        let absent = Mmap::open(&dir.path().join("absent")).unwrap_err();
        assert!(matches!(absent, Error::Io { action: "open", .. }));
    }
}
