//! A file on its way into a model's folder: `<name>.part` until its bytes are known to be right.
//!
//! Bytes are hashed as they are written. [`Part::place`] compares size and digest, flushes the file to
//! the disk and renames it, so that a file with its final name is whole and right, whatever happens in
//! between. An interrupted transfer leaves the part, and the next one goes on from it.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use super::{Result, SourceError};
use crate::error::Error;
use crate::models::catalogue::ModelFile;
use crate::models::digest::{self, Hasher};
use crate::models::stamp::Stamps;

/// A file that is being received.
pub(super) struct Part<'a> {
    spec: &'a ModelFile<'a>,
    folder: &'a Path,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    len_bytes: u64,
}

impl<'a> Part<'a> {
    /// Opens the part of the file `spec` in `folder`, with what an earlier transfer left of it.
    pub(super) fn open(folder: &'a Path, spec: &'a ModelFile<'a>) -> Result<Self> {
        let path = folder.join(format!("{}.part", spec.name));
        // Files of a repository may lie in folders of it.
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        let len_bytes = file.metadata().map_err(Error::io("read", &path))?.len();
        let hasher = digest::of_reader(&mut file).map_err(Error::io("read", &path))?;
        let mut part = Self {
            spec,
            folder,
            path,
            file,
            hasher,
            len_bytes,
        };
        if part.len_bytes > spec.size_bytes {
            part.restart()?;
        }
        Ok(part)
    }

    /// How many bytes are there.
    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// How many bytes are still missing.
    pub(super) fn missing_bytes(&self) -> u64 {
        self.spec.size_bytes - self.len_bytes
    }

    /// Forgets all bytes.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .map_err(Error::io("write", &self.path))?;
        self.file.rewind().map_err(Error::io("write", &self.path))?;
        self.hasher = Hasher::default();
        self.len_bytes = 0;
        Ok(())
    }

    /// Appends bytes. More than the published size are refused.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let len_bytes = self.len_bytes + bytes.len() as u64;
        if len_bytes > self.spec.size_bytes {
            return Err(SourceError::TooLong {
                file: self.spec.name.to_owned(),
                expected_bytes: self.spec.size_bytes,
            });
        }
        self.file
            .write_all(bytes)
            .map_err(Error::io("write", &self.path))?;
        self.hasher.update(bytes);
        self.len_bytes = len_bytes;
        Ok(())
    }

    /// Checks the bytes and gives the file its name. A part that is not the published file is deleted.
    pub(super) fn place(self) -> Result<()> {
        let Self {
            spec,
            folder,
            path,
            file,
            hasher,
            len_bytes,
        } = self;
        let found = hasher.finish();
        if len_bytes != spec.size_bytes || found != spec.sha256 {
            drop(file);
            fs::remove_file(&path).map_err(Error::io("delete", &path))?;
            return Err(SourceError::OtherBytes {
                file: spec.name.to_owned(),
                expected: spec.sha256.to_owned(),
                found,
                len_bytes,
            });
        }
        file.sync_all().map_err(Error::io("write", &path))?;
        drop(file);
        let target = folder.join(spec.name);
        fs::rename(&path, &target).map_err(Error::io("create", &target))?;
        sync_folder(folder).map_err(Error::io("write", folder))?;
        if let Ok(metadata) = fs::metadata(&target) {
            Stamps::load(folder).add(spec.name, &metadata, spec.sha256);
        }
        Ok(())
    }
}

/// Makes renames in a folder last. Only Unix lets a folder be opened for that.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}
