//! Vectors kept beside an index until they are committed, so that a build that is killed goes on
//! without computing any of them twice.
//!
//! `staging/<encoder>/<number>-<checksum>` is a `vectors` file; it gets that name when it is whole,
//! and counts only if its bytes have that checksum. The folder `<encoder>` is a digest of what the
//! vectors were made with: those of another encoder are of no use.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::check_vector;
use super::options::Encoder;
use super::transaction::ignore_absent;
use crate::error::{Error, Result};
use crate::id::PromptId;
use crate::manifest::{STAGING, checksum, hex};
use crate::mmap::Mmap;
use crate::storage::Place;
use crate::vector::flat::{Vectors, VectorsWriter};
use crate::vector::form::Form;

/// A file that is not whole yet.
const UNFINISHED: &str = "unfinished";

/// The staged vectors of one encoder.
pub(super) struct Staging {
    dir: PathBuf,
    dim: usize,
    shards: Vec<Vectors<Mmap>>,
    /// Shard and row of each prompt.
    rows: HashMap<PromptId, (u32, u32)>,
}

impl Staging {
    /// Opens what a former build has staged with `encoder`, and removes all else.
    pub(super) fn open(place: &Place, encoder: &Encoder) -> Result<Staging> {
        let all = place.dir.join(STAGING);
        let Encoder { name, digest, dim } = encoder;
        let dir = all.join(hex(xxh3_64(format!("{name}\n{digest}\n{dim}").as_bytes())));
        let mut staging = Staging {
            dim: *dim,
            shards: Vec::new(),
            rows: HashMap::new(),
            dir,
        };
        for folder in list(&all)? {
            if folder != staging.dir {
                remove(place, &folder)?;
            }
        }
        for path in list(&staging.dir)? {
            if !staging.take(&path)? {
                remove(place, &path)?;
            }
        }
        Ok(staging)
    }

    /// Prompts with a vector here.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn contains(&self, id: PromptId) -> bool {
        self.rows.contains_key(&id)
    }

    pub(super) fn get(&self, id: PromptId) -> Result<Option<Cow<'_, [f32]>>> {
        let Some(&(shard, row)) = self.rows.get(&id) else {
            return Ok(None);
        };
        let shard = self.shards.get(shard as usize);
        shard.map(|shard| shard.rows().get(row)).transpose()
    }

    /// Keeps vectors, one a prompt, as one file.
    pub(super) fn add(&mut self, ids: &[PromptId], vectors: &[f32]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir).map_err(Error::io("create", &self.dir))?;
        let new = self.dir.join(UNFINISHED);
        ignore_absent(fs::remove_file(&new)).map_err(Error::io("remove", &new))?;
        let mut writer = VectorsWriter::create(&new, self.dim, Form::PLAIN)?;
        for row in vectors.chunks_exact(self.dim) {
            writer.push(row)?;
        }
        writer.finish(ids)?;
        let (_, xxh3) = checksum(&new)?;
        let path = self.dir.join(format!("{:06}-{xxh3}", self.shards.len()));
        fs::rename(&new, &path).map_err(Error::io("rename", &new))?;
        self.open_shard(&path)
    }

    /// Forgets what is there, without removing it: the memory is wanted for building.
    pub(super) fn close(&mut self) {
        self.shards = Vec::new();
        self.rows = HashMap::new();
    }

    /// Removes all of it.
    pub(super) fn remove(mut self, place: &Place) -> Result<()> {
        // Some systems do not remove a file that is mapped.
        self.close();
        let all = place.dir.join(STAGING);
        ignore_absent(place.storage.remove_dir_all(&all)).map_err(Error::io("remove", &all))
    }

    /// Opens a file that is whole and holds what it should; whether it is such a file.
    fn take(&mut self, path: &Path) -> Result<bool> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((_, expected)) = name.split_once('-').filter(|_| path.is_file()) else {
            return Ok(false);
        };
        let (_, xxh3) = checksum(path)?;
        if xxh3 != expected {
            return Ok(false);
        }
        match self.open_shard(path) {
            Err(Error::Corrupt { .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }

    fn open_shard(&mut self, path: &Path) -> Result<()> {
        let shard = Vectors::new(Mmap::open(path)?, path)?;
        if shard.dim() != self.dim {
            let why = format!("vectors of {} numbers", shard.dim());
            return Err(Error::corrupt(path, "header", why));
        }
        let rows = shard.rows();
        for row in 0..shard.len() as u32 {
            if check_vector(&rows.get(row)?, self.dim).is_err() {
                let why = format!("row {row} is not a unit vector");
                return Err(Error::corrupt(path, "rows", why));
            }
        }
        let number = self.shards.len() as u32;
        for row in 0..shard.len() as u32 {
            self.rows.insert(shard.id(row)?, (number, row));
        }
        self.shards.push(shard);
        Ok(())
    }
}

/// Removes what is of no use here, a file or a folder.
fn remove(place: &Place, path: &Path) -> Result<()> {
    // A link to a folder is removed itself.
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => place.storage.remove_dir_all(path),
        Ok(_) => place.storage.remove_file(path),
        Err(error) => Err(error),
    };
    ignore_absent(removed).map_err(Error::io("remove", path))
}

/// The paths in a folder, in order; none, if it is absent.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("list", dir))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(Error::io("list", dir))?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::element::Element;

    #[test]
    fn vectors_in_the_form_of_a_segment_are_taken_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let (place, dim) = (Place::from(folder.path()), 64);
        let (name, digest) = (String::new(), String::new());
        let encoder = Encoder { name, digest, dim };
        let empty = Staging::open(&place, &encoder).unwrap();
        assert_eq!(empty.len(), 0);
        fs::create_dir_all(&empty.dir).unwrap();
        let (row, id) = ([0.125; 64], PromptId::of("a"));
        let new = folder.path().join("new");
        let form = Form::searched(dim, Element::F32);
        let mut writer = VectorsWriter::create(&new, dim, form).unwrap();
        writer.push(&row).unwrap();
        writer.finish(&[id]).unwrap();
        let (_, xxh3) = checksum(&new).unwrap();
        fs::rename(&new, empty.dir.join(format!("000000-{xxh3}"))).unwrap();
        let staging = Staging::open(&place, &encoder).unwrap();
        assert_eq!(*staging.get(id).unwrap().unwrap(), row);
    }
}
