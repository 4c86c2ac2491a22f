//! An opened index: entries and what is known of them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::options::{Encoder, Stats};
use super::stats::stats;
use super::{as_cosine, check_vector};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::id::{EntryId, PromptId};
use crate::manifest::{MANIFEST, Manifest, SegmentEntry};
use crate::record::ImageRecord;
use crate::segment::Segment;
use crate::vector::form::MAX_DIM;

/// An opened index, for reading; any number of threads may share it.
///
/// It shows the commit that it was opened at for as long as it lives. It never writes, so that
/// the folder may be read-only.
pub struct Index {
    dir: PathBuf,
    manifest: Manifest<Encoder>,
    pub(super) segments: Vec<Segment>,
}

impl Index {
    /// Opens the index at `dir`, reading headers only: milliseconds, whatever its size.
    ///
    /// # Errors
    /// [`Error::NotAnIndex`], [`Error::NewerFormat`], [`Error::Corrupt`] where a file is missing,
    /// has another length than the MANIFEST says or a header that does not fit, [`Error::Io`].
    /// Damage elsewhere in a file is an error of the call that meets it; [`check`](crate::check)
    /// finds all.
    pub fn open(dir: &Path) -> Result<Index> {
        let (manifest, segments) = at_one_commit(dir, |manifest| {
            let dim = manifest.encoder.dim;
            if !(1..=MAX_DIM).contains(&dim) {
                let why = format!("vectors of {dim} numbers");
                return Err(Error::corrupt(&dir.join(MANIFEST), "encoder", why));
            }
            let segments = manifest.segments.iter().zip(0..);
            segments
                .map(|(entry, place)| {
                    check_lengths(dir, entry)?;
                    Segment::open(dir, entry, place, dim)
                })
                .collect::<Result<Vec<Segment>>>()
        })?;
        Ok(Index {
            dir: dir.to_owned(),
            manifest,
            segments,
        })
    }

    pub(super) fn manifest(&self) -> &Manifest<Encoder> {
        &self.manifest
    }

    /// The encoder whose vectors these are; queries must come from the same.
    pub fn encoder(&self) -> &Encoder {
        &self.manifest.encoder
    }

    /// Prompts.
    pub fn len(&self) -> usize {
        self.segments.iter().map(Segment::len).sum()
    }

    /// Whether there is no prompt.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts and sizes.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder is gone.
    pub fn stats(&self) -> Result<Stats> {
        stats(&self.manifest, &self.dir)
    }

    /// Every entry, in the order of their building.
    pub fn entries(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.segments.iter().zip(0..).flat_map(|(segment, number)| {
            segment.live_rows().map(move |ordinal| EntryId {
                segment: number,
                ordinal,
            })
        })
    }

    /// The cosine of an entry to `query`, in [-1, 1], exact but for rounding.
    ///
    /// # Errors
    /// [`Error::NoSuchEntry`], [`Error::Dim`], [`Error::Vector`], [`Error::Corrupt`].
    pub fn cosine(&self, entry: EntryId, query: &[f32]) -> Result<f32> {
        check_vector(query, self.encoder().dim)?;
        let rows = self.segment(entry)?.vectors.rows();
        Ok(as_cosine(rows.score(entry.ordinal, query)?.score))
    }

    /// The vector of an entry, rounded if the index stores it as [`Element::F16`](crate::Element).
    ///
    /// # Errors
    /// [`Error::NoSuchEntry`], [`Error::Corrupt`].
    pub fn vector(&self, entry: EntryId) -> Result<Vec<f32>> {
        self.segment(entry)?
            .vectors
            .rows()
            .get(entry.ordinal)
            .map(Cow::into_owned)
    }

    /// The vector of an entry, its bytes compared with their checksums: for copies, which would make
    /// damage look sound.
    ///
    /// # Errors
    /// [`Error::NoSuchEntry`], [`Error::Corrupt`].
    pub fn checked_vector(&self, entry: EntryId) -> Result<(PromptId, Vec<f32>)> {
        self.segment(entry)?.to_copy(entry.ordinal)
    }

    /// The prompt of an entry.
    ///
    /// # Errors
    /// [`Error::NoSuchEntry`], [`Error::Corrupt`].
    pub fn prompt(&self, entry: EntryId) -> Result<String> {
        self.segment(entry)?.prompts.text(entry.ordinal)
    }

    /// The lasting name of an entry.
    ///
    /// # Errors
    /// [`Error::NoSuchEntry`], [`Error::Corrupt`].
    pub fn id(&self, entry: EntryId) -> Result<PromptId> {
        self.segment(entry)?.vectors.id(entry.ordinal)
    }

    /// The entry of a prompt, if it is here.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn find(&self, id: &PromptId) -> Result<Option<EntryId>> {
        for (segment, number) in self.segments.iter().zip(0..) {
            if let Some(ordinal) = segment.find(*id)? {
                return Ok(Some(EntryId {
                    segment: number,
                    ordinal,
                }));
            }
        }
        Ok(None)
    }

    /// The first `limit` images of an entry, and how many there are; with a filter, of those that
    /// fulfil what it says of images.
    ///
    /// # Errors
    /// [`Error::NoSuchEntry`], [`Error::Corrupt`].
    pub fn images(
        &self,
        entry: EntryId,
        filter: Option<&Filter>,
        limit: usize,
    ) -> Result<(Vec<ImageRecord>, usize)> {
        let segment = self.segment(entry)?;
        let selection = filter.map(|filter| segment.select(filter)).transpose()?;
        segment.images(entry.ordinal, selection.as_ref(), limit)
    }

    /// Gives `take` each image that `filter` selects, with the entry of its prompt.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn for_each_image(
        &self,
        filter: &Filter,
        take: &mut dyn FnMut(EntryId, ImageRecord),
    ) -> Result<()> {
        for (segment, number) in self.segments.iter().zip(0..) {
            let selection = segment.select(filter)?;
            for ordinal in &selection.prompts {
                let entry = EntryId {
                    segment: number,
                    ordinal,
                };
                let (images, _) = segment.images(ordinal, Some(&selection), usize::MAX)?;
                images.into_iter().for_each(|image| take(entry, image));
            }
        }
        Ok(())
    }

    /// The image of this name; the first of them where there are several.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn image(&self, name: &str) -> Result<Option<ImageRecord>> {
        for segment in &self.segments {
            if let Some(image) = segment.named(name)?.min() {
                return Ok(segment.records([image].into_iter())?.pop());
            }
        }
        Ok(None)
    }

    /// The entries of the prompts that have an image of this name.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn find_image(&self, name: &str) -> Result<Vec<EntryId>> {
        let mut entries = Vec::new();
        for (segment, number) in self.segments.iter().zip(0..) {
            let prompts = segment.prompts_of(&segment.named(name)?)?;
            entries.extend(prompts.iter().map(|ordinal| EntryId {
                segment: number,
                ordinal,
            }));
        }
        Ok(entries)
    }

    /// The segment of an entry that exists and is not deleted.
    pub(super) fn segment(&self, entry: EntryId) -> Result<&Segment> {
        self.segments
            .get(entry.segment as usize)
            .filter(|segment| segment.contains(entry.ordinal))
            .ok_or_else(|| Error::NoSuchEntry {
                entry: entry.to_string(),
            })
    }
}

/// How often a reader tries again that finds the ground moved under it: once for every commit that
/// is made while it reads.
const ATTEMPTS: usize = 100;

/// Reads the MANIFEST and what it names. A commit that removes files between the two is not damage:
/// then there is another MANIFEST, and reading starts again with that.
pub(crate) fn at_one_commit<T>(
    dir: &Path,
    mut read: impl FnMut(&Manifest<Encoder>) -> Result<T>,
) -> Result<(Manifest<Encoder>, T)> {
    let mut manifest: Manifest<Encoder> = Manifest::read(dir)?;
    for _ in 0..ATTEMPTS {
        let error = match read(&manifest) {
            Ok(read) => return Ok((manifest, read)),
            Err(error) => error,
        };
        let now: Manifest<Encoder> = Manifest::read(dir)?;
        if now.generation == manifest.generation {
            return Err(error);
        }
        manifest = now;
    }
    let read = read(&manifest)?;
    Ok((manifest, read))
}

fn check_lengths(dir: &Path, entry: &SegmentEntry) -> Result<()> {
    for (path, file) in entry.files(dir)? {
        let len = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::corrupt(&path, "length", "it is missing"));
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        if len != file.len {
            let why = format!("{len} bytes instead of {}", file.len);
            return Err(Error::corrupt(&path, "length", why));
        }
    }
    Ok(())
}
