//! The file MANIFEST: which segments an index consists of, and every file of theirs with length
//! and checksum. Replacing it is what makes a commit.
//!
//! A first line `unprompt-index <version> <xxh3 of the rest>`, then JSON.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64_with_seed};

use crate::blocks::BlockHasher;
use crate::error::{Error, Result};
use crate::storage::{Place, Storage};
use crate::vector::form::MAX_ROWS;

/// Names within an index.
pub(crate) const MANIFEST: &str = "MANIFEST";
pub(crate) const MANIFEST_NEW: &str = "MANIFEST.tmp";
pub(crate) const SEGMENTS: &str = "segments";
pub(crate) const STAGING: &str = "staging";
/// How the names of files begin that say what is deleted of a segment.
pub(crate) const DELETED: &str = "deleted";

const LABEL: &str = "unprompt-index";
const VERSION: u32 = 4;

/// The checksum of all that follows the first line, and from version 3 on of the version as well.
fn sum_of(version: u32, body: &[u8]) -> u64 {
    let seed = if version < 3 { 0 } else { version };
    xxh3_64_with_seed(body, seed.into())
}

/// What the file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest<E> {
    /// Number of the commit, from 1.
    pub(crate) generation: u64,
    /// The maker of the vectors; its type belongs to the layer above.
    pub(crate) encoder: E,
    /// Number that the next segment gets, so that none is ever used twice.
    pub(crate) next_segment: u32,
    /// Segments in the order in which their prompts count.
    pub(crate) segments: Vec<SegmentEntry>,
}

/// A segment as the MANIFEST names it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    pub(crate) number: u32,
    /// Prompts and images that it was written with, the deleted included.
    pub(crate) prompts: usize,
    pub(crate) images: usize,
    /// The files that were written with it and never change.
    pub(crate) files: Vec<FileEntry>,
    /// What has been deleted since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted: Option<DeletedEntry>,
}

/// What is deleted of a segment, as the MANIFEST names it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeletedEntry {
    pub(crate) prompts: usize,
    pub(crate) images: usize,
    pub(crate) file: FileEntry,
}

/// A file as the MANIFEST names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Below the segment's folder, parted by `/`.
    pub(crate) path: String,
    pub(crate) len: u64,
    /// 16 hexadecimal digits.
    pub(crate) xxh3: String,
    /// As many for each block, if there are several; see [`Blocks`](crate::blocks::Blocks).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) blocks: String,
}

/// The folder of a segment.
pub(crate) fn segment_dir(dir: &Path, number: u32) -> PathBuf {
    dir.join(SEGMENTS).join(format!("{number:06}"))
}

/// Name of the file that says what is deleted of a segment, from a generation on.
pub(crate) fn deleted_name(generation: u64) -> String {
    format!("{DELETED}-{generation:06}")
}

impl SegmentEntry {
    /// Prompts that are not deleted.
    pub(crate) fn live_prompts(&self) -> usize {
        let deleted = self.deleted.as_ref().map_or(0, |deleted| deleted.prompts);
        self.prompts.saturating_sub(deleted)
    }

    /// Images that are not deleted.
    pub(crate) fn live_images(&self) -> usize {
        let deleted = self.deleted.as_ref().map_or(0, |deleted| deleted.images);
        self.images.saturating_sub(deleted)
    }

    /// Every file by its path below the segment's folder.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = &FileEntry> {
        let deleted = self.deleted.iter().map(|deleted| &deleted.file);
        self.files.iter().chain(deleted)
    }

    /// The files with where they are, refusing paths that lead out of the segment.
    pub(crate) fn files<'a>(&'a self, dir: &Path) -> Result<Vec<(PathBuf, &'a FileEntry)>> {
        let folder = segment_dir(dir, self.number);
        let resolve = |file: &'a FileEntry| {
            let path = &file.path;
            let inside = |part| matches!(part, Component::Normal(_));
            let odd = path.is_empty() || path.contains(char::is_control);
            if odd || !Path::new(path).components().all(inside) {
                let why = format!("{path:?} is not within a segment");
                return Err(Error::corrupt(&dir.join(MANIFEST), "files", why));
            }
            Ok((folder.join(path), file))
        };
        self.all_files().map(resolve).collect()
    }
}

/// What a folder without a MANIFEST is, and what to do.
fn without_manifest(dir: &Path) -> String {
    let holds = |name: &str| fs::read_dir(dir.join(name)).is_ok_and(|mut it| it.next().is_some());
    if holds(STAGING) {
        "a build was not finished; give its command again to go on".into()
    } else if holds(SEGMENTS) {
        "it has segments but no MANIFEST; restore that file from a copy, or if a build was not finished give its command \
         again"
            .into()
    } else {
        anew("it has no MANIFEST")
    }
}

/// Why something is no index, where there is nothing to save.
fn anew(why: &str) -> String {
    format!("{why}; make one with `unprompt index build`")
}

impl<E: Serialize + for<'de> Deserialize<'de>> Manifest<E> {
    /// Reads the MANIFEST of the index at `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Manifest<E>> {
        let path = dir.join(MANIFEST);
        let not_an_index = |why: &str| Error::NotAnIndex {
            path: dir.to_owned(),
            why: why.into(),
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                // Of what may not be looked at nothing is known, and that is no `NotAnIndex`.
                return Err(match error.kind() {
                    _ if dir.is_file() => not_an_index(&anew("it is not a folder")),
                    io::ErrorKind::NotFound if dir.is_dir() => not_an_index(&without_manifest(dir)),
                    io::ErrorKind::NotFound => not_an_index(&anew("there is no such folder")),
                    _ => Error::io("read", &path)(error),
                });
            }
        };
        Manifest::parse(&bytes, &path)
    }

    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Manifest<E>> {
        let damaged = |section, why: &str| Error::corrupt(path, section, why);
        let end = bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(bytes.len());
        let (line, body) = bytes.split_at(end);
        let line = str::from_utf8(line).unwrap_or_default();
        let body = body.get(1..).unwrap_or_default();
        let [label, version, checksum] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(damaged(
                "first line",
                "it is not `unprompt-index VERSION CHECKSUM`",
            ));
        };
        let found: u32 = match version.parse() {
            Ok(version) if label == LABEL => version,
            _ => return Err(damaged("first line", "it does not name an unprompt index")),
        };
        if found > VERSION {
            return Err(Error::NewerFormat {
                path: path.to_owned(),
                found,
                supported: VERSION,
            });
        }
        if found == 0 || hex(sum_of(found, body)) != checksum {
            return Err(damaged("first line", "its checksum does not match"));
        }
        let manifest: Manifest<E> =
            serde_json::from_slice(body).map_err(|error| damaged("body", &error.to_string()))?;
        match manifest.absurdity() {
            None => Ok(manifest),
            Some(why) => Err(damaged("body", &why)),
        }
    }

    /// What no commit ever writes, and later arithmetic and set algebra rely on not being there.
    fn absurdity(&self) -> Option<String> {
        let &Manifest {
            generation,
            next_segment,
            ..
        } = self;
        if generation == u64::MAX || next_segment == u32::MAX {
            return Some(format!(
                "generation {generation}, next segment {next_segment}"
            ));
        }
        let mut numbers = HashSet::new();
        for segment in &self.segments {
            let &SegmentEntry {
                number,
                prompts,
                images,
                ..
            } = segment;
            if number >= next_segment || !numbers.insert(number) {
                return Some(format!("segment {number} stands twice or is yet to come"));
            }
            let deleted = segment.deleted.as_ref();
            let (gone, gone_images) = deleted.map_or((0, 0), |gone| (gone.prompts, gone.images));
            if prompts > MAX_ROWS || images > MAX_ROWS || gone > prompts || gone_images > images {
                return Some(format!(
                    "segment {number} of {prompts} prompts and {images} images, of which {gone} and \
                     {gone_images} are deleted"
                ));
            }
            let mut paths = HashSet::new();
            let twice = segment.all_files().find(|file| !paths.insert(&file.path));
            if let Some(file) = twice {
                return Some(format!("segment {number} lists `{}` twice", file.path));
            }
        }
        None
    }

    /// Makes this the MANIFEST of the index at `dir`, all or nothing: a temporary file, forced to
    /// disk, then renamed. Left to the caller is [`Storage::sync_dir`], which makes the new
    /// name last.
    pub(crate) fn replace(&self, place: &Place) -> Result<()> {
        let Place { dir, storage } = place;
        let new = dir.join(MANIFEST_NEW);
        let body = serde_json::to_vec_pretty(self).map_err(|error| Error::Io {
            path: new.clone(),
            action: "encode",
            source: error.into(),
        })?;
        let line = format!("{LABEL} {VERSION} {}\n", hex(sum_of(VERSION, &body)));
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(line.as_bytes())?;
            file.write_all(&body)?;
            storage.sync_file(&new)
        };
        write().map_err(Error::io("write", &new))?;
        let path = dir.join(MANIFEST);
        storage
            .rename(&new, &path)
            .map_err(Error::io("replace", &path))
    }
}

/// A checksum as it is written.
pub(crate) fn hex(checksum: u64) -> String {
    format!("{checksum:016x}")
}

/// Forces every file and folder below `folder` to disk and lists the files, in order of path.
pub(crate) fn seal(folder: &Path, storage: &dyn Storage) -> Result<Vec<FileEntry>> {
    let mut files = Vec::new();
    // tantivy keeps some of its files from other users; an index is for whoever may read its vectors.
    let vectors = folder.join("vectors");
    let usual = fs::metadata(&vectors)
        .map_err(Error::io("read", &vectors))?
        .permissions();
    seal_below(folder, "", &usual, storage, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn seal_below(
    folder: &Path,
    prefix: &str,
    usual: &fs::Permissions,
    storage: &dyn Storage,
    files: &mut Vec<FileEntry>,
) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if path.is_dir() {
            seal_below(&path, &format!("{name}/"), usual, storage, files)?;
        } else {
            fs::set_permissions(&path, usual.clone())
                .map_err(Error::io("open to readers", &path))?;
            files.push(seal_file(&path, name, storage)?);
        }
    }
    storage.sync_dir(folder).map_err(Error::io("sync", folder))
}

/// Forces a file to disk; its entry under `name`.
pub(crate) fn seal_file(path: &Path, name: String, storage: &dyn Storage) -> Result<FileEntry> {
    storage.sync_file(path).map_err(Error::io("sync", path))?;
    let len = fs::metadata(path).map_err(Error::io("read", path))?.len();
    let mut blocks = BlockHasher::new(len);
    let (len, xxh3) = checksum_with(path, |bytes| blocks.update(bytes))?;
    Ok(FileEntry {
        path: name,
        len,
        xxh3,
        blocks: blocks.finish(),
    })
}

/// Reads a whole file; its length and checksum, 16 hexadecimal digits.
pub(crate) fn checksum(path: &Path) -> Result<(u64, String)> {
    checksum_with(path, |_| {})
}

fn checksum_with(path: &Path, mut each: impl FnMut(&[u8])) -> Result<(u64, String)> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut hash = Xxh3Default::new();
    let mut buffer = vec![0; 1 << 18];
    let mut len = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((len, hex(hash.digest()))),
            Ok(read) => {
                hash.update(&buffer[..read]);
                each(&buffer[..read]);
                len += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(path: &str) -> Manifest<String> {
        let file = FileEntry {
            path: path.into(),
            len: 1,
            xxh3: hex(1),
            blocks: String::new(),
        };
        let segment = SegmentEntry {
            number: 7,
            prompts: 1,
            images: 0,
            files: vec![file],
            deleted: None,
        };
        Manifest {
            generation: 3,
            encoder: "e".into(),
            next_segment: 8,
            segments: vec![segment],
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        manifest("vectors").replace(&dir.path().into()).unwrap();
        let read: Manifest<String> = Manifest::read(dir.path()).unwrap();
        assert_eq!((read.generation, read.next_segment), (3, 8));
        let path = dir.path().join(MANIFEST);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(Manifest::<String>::parse(&bad, &path).is_err(), "bit {at}");
        }
        for len in 0..good.len() {
            assert!(
                Manifest::<String>::parse(&good[..len], &path).is_err(),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn a_newer_version_says_so() {
        let newer = format!("{LABEL} {} {}\n{{}}", VERSION + 1, hex(0));
        let error = Manifest::<String>::parse(newer.as_bytes(), Path::new("M")).unwrap_err();
        let Error::NewerFormat {
            found, supported, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((found, supported), (VERSION + 1, VERSION));
    }

    #[test]
    fn what_no_commit_writes_is_damage() {
        type Edit = fn(&mut Manifest<String>);
        let edits: [Edit; 9] = [
            |m| m.generation = u64::MAX,
            |m| m.next_segment = u32::MAX,
            |m| m.next_segment = 7,
            |m| m.segments.push(m.segments[0].clone()),
            |m| m.segments[0].prompts = MAX_ROWS + 1,
            |m| m.segments[0].prompts = usize::MAX,
            |m| m.segments[0].images = 1 << 40,
            |m| m.segments[0].files.extend_from_within(..1),
            |m| {
                m.segments[0].deleted = Some(DeletedEntry {
                    prompts: 2,
                    images: 0,
                    file: m.segments[0].files[0].clone(),
                });
            },
        ];
        for (number, edit) in edits.iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let mut bad = manifest("vectors");
            edit(&mut bad);
            bad.replace(&dir.path().into()).unwrap();
            let error = Manifest::<String>::read(dir.path()).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Corrupt {
                        section: "body",
                        ..
                    }
                ),
                "edit {number}"
            );
        }
    }

    #[test]
    fn files_stay_within_their_segment() {
        let dir = Path::new("index");
        let good = manifest("prompts/meta.json");
        let expected = dir.join("segments/000007/prompts/meta.json");
        assert_eq!(good.segments[0].files(dir).unwrap()[0].0, expected);
        for bad in ["", "../x", "/etc/passwd", "a/../../b", "a\nb", "\0"] {
            assert!(manifest(bad).segments[0].files(dir).is_err(), "{bad}");
        }
    }
}
