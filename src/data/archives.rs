//! Zip files that single entries are read from, in any order and from any thread.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zip::ZipArchive;

use super::bounded::Bounded;
use crate::image::decode::MAX_FILE_BYTES;

/// Files that are open at once, well below what a process may have; the longest open one is closed
/// for the next. To open one again takes a millisecond, as its directory is read.
const MAX_OPEN: usize = 64;

/// Zip files by number.
#[derive(Debug)]
pub(super) struct Archives {
    files: Vec<(PathBuf, Mutex<Option<Archive>>)>,
    open: Mutex<VecDeque<usize>>,
}

type Archive = ZipArchive<BufReader<File>>;

impl Archives {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let files = paths.into_iter().map(|path| (path, Mutex::new(None)));
        Self {
            files: files.collect(),
            open: Mutex::default(),
        }
    }

    /// The paths of all files, by number.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// The path of file `number`.
    pub(super) fn path(&self, number: usize) -> &Path {
        &self.files[number].0
    }

    /// The bytes of an entry of file `number`.
    ///
    /// # Errors
    /// If there is no such entry, if it cannot be unpacked, or is longer than an image file may be.
    pub(super) fn read(&self, number: usize, name: &str) -> io::Result<Vec<u8>> {
        let (path, archive) = &self.files[number];
        let mut archive = lock(archive);
        let was_open = archive.is_some();
        let bytes = match &mut *archive {
            Some(archive) => entry(archive, name),
            None => entry(archive.insert(open(path)?), name),
        };
        // Another file is locked to close it: never two at once.
        drop(archive);
        if !was_open {
            self.opened(number);
        }
        bytes
    }

    fn opened(&self, number: usize) {
        let mut open = lock(&self.open);
        open.push_back(number);
        let oldest = if open.len() > MAX_OPEN {
            open.pop_front()
        } else {
            None
        };
        drop(open);
        if let Some(oldest) = oldest {
            *lock(&self.files[oldest].1) = None;
        }
    }
}

fn open(path: &Path) -> io::Result<Archive> {
    Ok(ZipArchive::new(BufReader::new(File::open(path)?))?)
}

fn entry(archive: &mut Archive, name: &str) -> io::Result<Vec<u8>> {
    let left = Cell::new(MAX_FILE_BYTES);
    let entry = archive.by_name(name)?;
    let mut bytes = vec![];
    Bounded::new(entry, &left, "it is longer than 64 MiB").read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
