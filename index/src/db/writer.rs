//! Builds a new index, all or nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::check_vector;
use super::lock::{LOCK, Lock};
use super::options::{BuildOptions, Encoder, Phase, Stats};
use super::stats::stats;
use crate::error::{Error, Result};
use crate::id::PromptId;
use crate::manifest::{
    MANIFEST, MANIFEST_NEW, Manifest, SEGMENTS, SegmentEntry, seal, segment_dir, sync_dir,
};
use crate::record::ImageRecord;
use crate::segment::{SegmentWriter, Step};
use crate::vector::flat::MAX_DIM;
use crate::vector::hnsw::build::Parameters;
use crate::vector::hnsw::layout::MAX_M;

/// Number of the first segment.
const FIRST_SEGMENT: u32 = 1;

/// Builds a new index in a folder of its own.
///
/// Nothing is an index until [`Writer::commit`] has returned; a writer that is dropped before
/// removes what it wrote, and what a killed one leaves behind is removed by the next.
pub struct Writer {
    // Dropped in this order: files are closed before `site` removes them.
    segment: SegmentWriter,
    encoder: Encoder,
    parameters: Parameters,
    site: Site,
}

impl Writer {
    /// Starts an index at `dir`, which must be absent, empty, or hold nothing but what an
    /// unfinished build left.
    ///
    /// # Errors
    /// [`Error::AlreadyAnIndex`], [`Error::ForeignFile`], [`Error::Locked`], [`Error::Option`] for
    /// an encoder or options out of range, [`Error::Io`].
    pub fn create(dir: &Path, encoder: Encoder, options: BuildOptions) -> Result<Writer> {
        let parameters = parameters(&encoder, options)?;
        let site = Site::prepare(dir)?;
        let segments = dir.join(SEGMENTS);
        fs::create_dir(&segments).map_err(Error::io("create", &segments))?;
        let segment = SegmentWriter::create(&segment_dir(dir, FIRST_SEGMENT), encoder.dim)?;
        Ok(Writer {
            segment,
            encoder,
            parameters,
            site,
        })
    }

    /// Whether `prompt` has been pushed, so that it needs no vector again.
    pub fn contains(&self, prompt: &str) -> bool {
        self.segment.row(PromptId::of(prompt)).is_some()
    }

    /// Adds a prompt with its vector and images. A prompt that is there already gains the images
    /// only.
    ///
    /// # Errors
    /// [`Error::Dim`], [`Error::Vector`] if it is not finite or its length is not within 0.001 of
    /// 1, [`Error::Full`], [`Error::Io`], [`Error::Tantivy`]. After one of the last two the writer
    /// can only be dropped.
    pub fn push(
        &mut self,
        prompt: &str,
        vector: &[f32],
        images: Vec<ImageRecord>,
    ) -> Result<PromptId> {
        check_vector(vector, self.encoder.dim)?;
        let id = PromptId::of(prompt);
        let row = match self.segment.row(id) {
            Some(row) => row,
            None => self.segment.push(id, prompt, vector)?,
        };
        self.segment.add_images(row, images)?;
        Ok(id)
    }

    /// Adds images to a prompt that has been pushed.
    ///
    /// # Errors
    /// [`Error::NoSuchPrompt`] if it has not, [`Error::Full`].
    pub fn add_images(&mut self, prompt: &str, images: Vec<ImageRecord>) -> Result<()> {
        let Some(row) = self.segment.row(PromptId::of(prompt)) else {
            return Err(Error::NoSuchPrompt {
                prompt: prompt.chars().take(80).collect(),
            });
        };
        self.segment.add_images(row, images)
    }

    /// Prompts pushed so far.
    pub fn len(&self) -> usize {
        self.segment.len()
    }

    /// Whether nothing has been pushed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Builds the graph, writes the rest, and makes it an index; `progress` is told how far it is,
    /// and may ask to stop by answering [`ControlFlow::Break`].
    ///
    /// In this order: the files of the segment, each forced to disk; their folders, and the one that
    /// the index stands in; the MANIFEST under another name, forced to disk; its renaming; the index folder. Killed at any moment,
    /// there is either no index or the whole.
    ///
    /// # Errors
    /// [`Error::Cancelled`] on request, [`Error::Io`], [`Error::Tantivy`]. In all cases what was
    /// written is removed, except where the very last step fails, making the names in the index
    /// folder last: then the index is there, but may not survive a loss of power.
    pub fn commit(self, progress: &mut dyn FnMut(Phase) -> ControlFlow<()>) -> Result<Stats> {
        let Writer {
            segment,
            encoder,
            parameters,
            mut site,
        } = self;
        let (prompts, images) = (segment.len(), segment.images());
        segment.finish(parameters, &mut |step| {
            progress(match step {
                Step::Graph { done, total } => Phase::Graph { done, total },
                Step::Keywords => Phase::Keywords,
                Step::Images => Phase::Images,
            })
        })?;
        if progress(Phase::Sync).is_break() {
            return Err(Error::Cancelled);
        }
        let files = seal(&segment_dir(&site.dir, FIRST_SEGMENT))?;
        sync_dir(&site.dir.join(SEGMENTS))?;
        // The folder's own name stands in its parent.
        let dir = site
            .dir
            .canonicalize()
            .map_err(Error::io("resolve", &site.dir))?;
        dir.parent().map_or(Ok(()), sync_dir)?;
        let segment = SegmentEntry {
            number: FIRST_SEGMENT,
            prompts,
            images,
            files,
        };
        let manifest = Manifest {
            generation: 1,
            encoder,
            next_segment: FIRST_SEGMENT + 1,
            segments: vec![segment],
        };
        manifest.replace(&site.dir)?;
        site.committed = true;
        sync_dir(&site.dir)?;
        stats(&manifest, &site.dir)
    }
}

fn parameters(encoder: &Encoder, options: BuildOptions) -> Result<Parameters> {
    let BuildOptions {
        m,
        ef_construction,
        threads,
    } = options;
    let refuse = |name, why| Err(Error::Option { name, why });
    if !(1..=MAX_DIM).contains(&encoder.dim) {
        return refuse(
            "dim",
            format!("{} is not between 1 and {MAX_DIM}", encoder.dim),
        );
    }
    if !(2..=MAX_M).contains(&m) {
        return refuse("m", format!("{m} is not between 2 and {MAX_M}"));
    }
    if !(m..=usize::from(u16::MAX)).contains(&ef_construction) {
        return refuse(
            "ef_construction",
            format!("{ef_construction} is not between m and 65535"),
        );
    }
    Ok(Parameters {
        m,
        ef_construction,
        threads,
    })
}

/// The folder of an index being made; cleans up unless `committed`.
struct Site {
    dir: PathBuf,
    /// Whether the folder is ours to remove.
    made: bool,
    committed: bool,
    lock: Option<Lock>,
}

impl Site {
    /// Makes or takes over the folder, locks it, and clears what an unfinished build left.
    fn prepare(dir: &Path) -> Result<Site> {
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
        let site = Site {
            dir: dir.to_owned(),
            made,
            committed: false,
            lock,
        };
        if let Err(error) = check_contents(dir) {
            // What is there is not ours to clean up.
            let mut site = site;
            site.committed = true;
            return Err(error);
        }
        site.clear()?;
        Ok(site)
    }

    /// Removes all but LOCK.
    fn clear(&self) -> Result<()> {
        let segments = self.dir.join(SEGMENTS);
        ignore_absent(fs::remove_dir_all(&segments)).map_err(Error::io("remove", &segments))?;
        let manifest = self.dir.join(MANIFEST_NEW);
        ignore_absent(fs::remove_file(&manifest)).map_err(Error::io("remove", &manifest))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        // There is nobody to tell about failures, and the next writer tries again.
        if let Err(error) = self.clear() {
            tracing::warn!("{error}");
        }
        let _ = fs::remove_file(self.dir.join(LOCK));
        self.lock = None;
        if self.made {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Refuses a folder that holds an index, or anything that no unfinished build leaves.
fn check_contents(dir: &Path) -> Result<()> {
    let names = names(dir)?;
    if names.contains(MANIFEST) {
        return Err(Error::AlreadyAnIndex {
            path: dir.to_owned(),
        });
    }
    let ours = [LOCK, MANIFEST_NEW, SEGMENTS];
    let mut foreign = names
        .iter()
        .find(|name| !ours.contains(&name.as_str()))
        .cloned();
    // A build makes LOCK before all else, and its segments are numbers.
    if foreign.is_none() && names.contains(SEGMENTS) {
        let number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
        let segments = self::names(&dir.join(SEGMENTS))?;
        if !names.contains(LOCK) || !segments.iter().all(number) {
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

fn names(dir: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(dir).map_err(Error::io("list", dir))?;
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    entries
        .map(name)
        .collect::<io::Result<_>>()
        .map_err(Error::io("list", dir))
}
