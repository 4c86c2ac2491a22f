//! What every change of an index goes through: the lock, the clearing away of what a killed change
//! left behind, and the commit.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::index::Index;
use super::lock::{LOCK, Lock};
use super::options::{Encoder, Stats};
use super::stats::stats;
use crate::error::{Error, Result};
use crate::manifest::{
    DELETED, MANIFEST, MANIFEST_NEW, Manifest, SEGMENTS, STAGING, SegmentEntry, segment_dir,
};
use crate::storage::Place;

/// A change under way: holds the lock, and removes what it wrote unless it is committed.
pub(super) struct Transaction {
    place: Place,
    /// What was there before.
    base: Manifest<Encoder>,
    /// The same, opened.
    index: Option<Index>,
    /// Whether the folder is ours to remove.
    made: bool,
    committed: bool,
    lock: Option<Lock>,
}

impl Transaction {
    /// Makes or takes over the folder for a new index, locks it, and clears what an unfinished
    /// build left, but for its staging area.
    pub(super) fn create(place: Place, encoder: Encoder) -> Result<Transaction> {
        let dir = &place.dir;
        let made = match fs::create_dir(dir) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
                true
            }
            Err(error) => return Err(Error::io("create", dir)(error)),
        };
        // Looked at before LOCK is made, so that a folder of other things stays untouched, and
        // again under the lock, for another writer may just have finished.
        check_contents(dir)?;
        let lock = Some(Lock::take(dir)?);
        check_contents(dir)?;
        let segments = dir.join(SEGMENTS);
        let base = Manifest {
            generation: 0,
            encoder,
            next_segment: 1,
            segments: Vec::new(),
        };
        let transaction = Transaction {
            place,
            base,
            index: None,
            made,
            committed: false,
            lock,
        };
        // What a power cut leaves of this build is ours to clear only if LOCK is left as well.
        sync_dir(&transaction.place, &transaction.place.dir)?;
        transaction.clear()?;
        if let Err(error) = fs::create_dir(&segments)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(Error::io("create", &segments)(error));
        }
        Ok(transaction)
    }

    /// Locks the index at a folder.
    pub(super) fn open(place: Place) -> Result<Transaction> {
        // A folder that is no index gets no LOCK.
        Manifest::<Encoder>::read(&place.dir)?;
        let lock = Some(Lock::take(&place.dir)?);
        let index = Index::open(&place.dir)?;
        let transaction = Transaction {
            base: index.manifest().clone(),
            index: Some(index),
            made: false,
            committed: false,
            lock,
            place,
        };
        // The last commit may be there without being lasting. What it has replaced must stay until
        // it is, for a power cut may bring back the MANIFEST that names it.
        sync_dir(&transaction.place, &transaction.place.dir)?;
        transaction.clear()?;
        Ok(transaction)
    }

    /// What was there before; a new index has generation 0 and no segments.
    pub(super) fn base(&self) -> &Manifest<Encoder> {
        &self.base
    }

    /// What was there before, opened; none for a new index.
    pub(super) fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The folder of the next segment.
    pub(super) fn next_segment_dir(&self) -> PathBuf {
        segment_dir(&self.place.dir, self.base.next_segment)
    }

    /// Makes an index of `segments`, whose files are all forced to disk, their folders too.
    ///
    /// In this order: the folder of segments, and of a new index its own folder and all above; the
    /// MANIFEST under another name; its renaming; the index folder. Only then is forgotten what no
    /// commit names any more. Killed at any moment, the index is as before or as after.
    ///
    /// `grown` tells that the last of them is new.
    pub(super) fn commit(&mut self, segments: Vec<SegmentEntry>, grown: bool) -> Result<Stats> {
        let place = self.place.clone();
        let dir = &place.dir;
        sync_dir(&place, &dir.join(SEGMENTS))?;
        if self.base.generation == 0 {
            // A MANIFEST without the folder of segments would be a damaged index.
            sync_dir(&place, dir)?;
            sync_above(&place, dir)?;
        }
        let manifest = Manifest {
            generation: self.base.generation + 1,
            encoder: self.base.encoder.clone(),
            next_segment: self.base.next_segment + u32::from(grown),
            segments,
        };
        manifest.replace(&place)?;
        self.committed = true;
        sync_dir(&place, dir)?;
        self.base = manifest;
        // What cannot be removed now, since a reader on some systems keeps it, the next change
        // removes.
        if let Err(error) = self.clear() {
            tracing::debug!("{error}");
        }
        stats(&self.base, dir)
    }

    /// Ends without a change.
    pub(super) fn unchanged(&self) -> Result<Stats> {
        stats(&self.base, &self.place.dir)
    }

    /// Removes segments, and files of deletions, that the last commit does not name: what a killed
    /// change wrote, and what a commit has replaced.
    fn clear(&self) -> Result<()> {
        let Place { dir, storage } = &self.place;
        let manifest = dir.join(MANIFEST_NEW);
        ignore_absent(storage.remove_file(&manifest)).map_err(Error::io("remove", &manifest))?;
        let segments = dir.join(SEGMENTS);
        for name in names(&segments)? {
            let folder = segments.join(&name);
            let named = |entry: &&SegmentEntry| segment_dir(dir, entry.number) == folder;
            match self.base.segments.iter().find(named) {
                Some(entry) => self.clear_deleted(&folder, entry)?,
                None if is_number(&name) => storage
                    .remove_dir_all(&folder)
                    .map_err(Error::io("remove", &folder))?,
                None => {}
            }
        }
        Ok(())
    }

    /// Whether the MANIFEST is still the one that was there before.
    fn is_unchanged(&self) -> bool {
        match Manifest::<Encoder>::read(&self.place.dir) {
            Ok(manifest) => manifest.generation == self.base.generation,
            Err(Error::NotAnIndex { .. }) => self.base.generation == 0,
            Err(_) => false,
        }
    }

    fn clear_deleted(&self, folder: &Path, entry: &SegmentEntry) -> Result<()> {
        let current = entry.deleted.as_ref().map(|deleted| &deleted.file.path);
        for name in names(folder)? {
            let generation = name
                .strip_prefix(DELETED)
                .and_then(|rest| rest.strip_prefix('-'));
            if generation.is_some_and(is_number) && Some(&name) != current {
                let file = folder.join(&name);
                self.place
                    .storage
                    .remove_file(&file)
                    .map_err(Error::io("remove", &file))?;
            }
        }
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // A renaming that was reported as failed may have been made all the same.
        if self.committed || !self.is_unchanged() {
            return;
        }
        // There is nobody to tell about failures, and the next change tries again.
        if let Err(error) = self.clear() {
            tracing::debug!("{error}");
        }
        if self.index.is_some() {
            return;
        }
        let dir = &self.place.dir;
        // Goes only if it is empty, as the folders below.
        let _ = fs::remove_dir(dir.join(SEGMENTS));
        if !dir.join(STAGING).exists() {
            let _ = fs::remove_file(dir.join(LOCK));
            self.lock = None;
            if self.made {
                let _ = fs::remove_dir(dir);
            }
        }
    }
}

/// What is to be absent may be so already.
pub(super) fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the names in a folder last.
fn sync_dir(place: &Place, dir: &Path) -> Result<()> {
    place.storage.sync_dir(dir).map_err(Error::io("sync", dir))
}

/// Makes the name of a folder last, and of all that it stands in, for this build or one before it
/// may have made some of them.
fn sync_above(place: &Place, dir: &Path) -> Result<()> {
    let whole = dir.canonicalize().map_err(Error::io("resolve", dir))?;
    for above in whole.ancestors().skip(1) {
        match sync_dir(place, above) {
            // No build has made a folder in one that it may not open, nor in one of a file system
            // whose folders cannot be forced to disk, such as an automounter's.
            Err(Error::Io { source, .. }) if is_beyond_us(&source) => break,
            other => other?,
        }
    }
    Ok(())
}

fn is_beyond_us(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Refuses a folder that holds an index, or anything that no unfinished build leaves.
fn check_contents(dir: &Path) -> Result<()> {
    let names = names(dir)?;
    if names.contains(MANIFEST) {
        return Err(Error::AlreadyAnIndex {
            path: dir.to_owned(),
        });
    }
    let ours = [LOCK, MANIFEST_NEW, SEGMENTS, STAGING];
    let mut foreign = names
        .iter()
        .find(|name| !ours.contains(&name.as_str()))
        .cloned();
    // A build makes LOCK before all else, and its segments are numbers.
    if foreign.is_none() && !names.contains(LOCK) {
        foreign = names.first().cloned();
    }
    if foreign.is_none() && names.contains(SEGMENTS) {
        let segments = self::names(&dir.join(SEGMENTS))?;
        if !segments.iter().all(|name| is_number(name)) {
            foreign = Some(SEGMENTS.to_owned());
        }
    }
    match foreign {
        Some(name) => Err(Error::ForeignFile {
            path: dir.to_owned(),
            name,
        }),
        None => Ok(()),
    }
}

/// The names in a folder; none, if it is absent.
fn names(dir: &Path) -> Result<BTreeSet<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other.map_err(Error::io("list", dir))?,
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    entries
        .map(name)
        .collect::<io::Result<_>>()
        .map_err(Error::io("list", dir))
}
