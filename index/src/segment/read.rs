//! Opens a segment and answers from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;

use super::{GIVEN, GRAPH, IMAGES, PROMPTS, VECTORS};
use crate::best::Best;
use crate::blocks::Blocks;
use crate::deleted::Deleted;
use crate::error::{Error, Result};
use crate::filter::{Filter, Level};
use crate::folder::Listed;
use crate::given;
use crate::id::{EntryId, PromptId};
use crate::images::Images;
use crate::keyword::{Part, Prompts};
use crate::manifest::{DeletedEntry, FileEntry, MANIFEST, SegmentEntry, hex, segment_dir};
use crate::mmap::{Mmap, read_ends_ahead};
use crate::record::ImageRecord;
use crate::vector::element::Element;
use crate::vector::flat::Vectors;
use crate::vector::form::Form;
use crate::vector::hnsw::layout::Graph;
use crate::vector::hnsw::search::{Pool, Width, check_pair};

/// A filter is answered by comparing with each of its `matches` rows, not by a walk, when
/// `matches^2 <= EXACT_FACTOR * ef * rows`: a walk looks at some `ef * rows / matches` candidates
/// until `ef` of them match, each at the price of `EXACT_FACTOR` rows of a scan. Measured on 200 000
/// sentence embeddings of 384 numbers of f32 with `ef` 128 (`benches/benches/graph.rs`): at one row in ten
/// comparing was 1.1 times as fast, at one in five walking 1.5 times; they meet at one in nine.
const EXACT_FACTOR: u64 = 20;

/// What may be answered of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Rows of prompts.
    pub(crate) prompts: RoaringBitmap,
    /// Images that may be listed; all, if absent.
    pub(crate) images: Option<RoaringBitmap>,
}

/// How to look for near rows.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    pub(crate) k: usize,
    /// Candidates kept on the way.
    pub(crate) ef: usize,
    /// Compares with every row instead.
    pub(crate) exact: bool,
}

/// An opened segment.
pub(crate) struct Segment {
    /// Its place among the segments of the index.
    place: u32,
    pub(crate) vectors: Vectors<Mmap>,
    /// The checksums of that file.
    blocks: Arc<Blocks>,
    graph: Graph<Mmap>,
    pool: Pool,
    pub(crate) prompts: Prompts,
    images: Images,
    /// Prompts that were given by themselves; format version 1 does not say.
    given: Option<RoaringBitmap>,
    /// Prompts that are known from predictions alone, once somebody has asked.
    only_predicted: OnceLock<RoaringBitmap>,
    /// Prompts without an image that is not deleted, once somebody has asked.
    without_images: OnceLock<RoaringBitmap>,
    deleted: Option<Deleted>,
    /// What is left, where something is deleted.
    live: Option<Selection>,
}

impl Segment {
    /// Opens a segment of the index at `dir`, reading headers only, and what is deleted.
    pub(crate) fn open(
        dir: &Path,
        entry: &SegmentEntry,
        place: u32,
        dim: usize,
    ) -> Result<Segment> {
        let &SegmentEntry {
            prompts, images, ..
        } = entry;
        let mut listed = listed(&entry.files, &dir.join(MANIFEST))?;
        let dir = segment_dir(dir, entry.number);
        read_ends_ahead(entry.files.iter().map(|file| dir.join(&file.path)));
        let path = dir.join(VECTORS);
        let vectors = Vectors::new(Mmap::open(&path)?, &path)?;
        if (vectors.len(), vectors.dim()) != (prompts, dim) {
            let why = format!(
                "{} rows of {} numbers, but the MANIFEST says {prompts} of {dim}",
                vectors.len(),
                vectors.dim()
            );
            return Err(Error::corrupt(&path, "header", why));
        }
        let blocks = listed.remove(Path::new(VECTORS)).ok_or_else(|| {
            Error::corrupt(&path, "length", "it is not one of the segment's files")
        })?;
        let path = dir.join(GRAPH);
        let graph = Graph::new(Mmap::open(&path)?, &path)?;
        check_pair(graph.len(), prompts, &path)?;
        let below = |folder: &str| -> Listed {
            let file = |(path, blocks): (&PathBuf, &Arc<Blocks>)| {
                let path = path.strip_prefix(folder).ok()?;
                Some((path.to_owned(), blocks.clone()))
            };
            listed.iter().filter_map(file).collect()
        };
        let prompt_words = Prompts::open(&dir.join(PROMPTS), below(PROMPTS), prompts)?;
        let image_columns = Images::open(&dir.join(IMAGES), below(IMAGES), images)?;
        let is_given = |file: &&FileEntry| file.path == GIVEN;
        let given = entry.files.iter().find(is_given);
        let given = given
            .map(|file| read_given(&dir, file, prompts))
            .transpose()?;
        // All counts have been found right by now, so that these sets are no larger than the files.
        let deleted = match &entry.deleted {
            Some(deleted) => Some(read_deleted(&dir, deleted, prompts, images)?),
            None => None,
        };
        let left = |count: usize, gone: &RoaringBitmap| {
            let mut all = RoaringBitmap::new();
            all.insert_range(0..count as u32);
            all - gone
        };
        let live = deleted.as_ref().map(|deleted| Selection {
            prompts: left(prompts, &deleted.prompts),
            images: Some(left(images, &deleted.images)),
        });
        Ok(Segment {
            place,
            pool: Pool::new(prompts),
            vectors,
            blocks,
            graph,
            prompts: prompt_words,
            images: image_columns,
            given,
            only_predicted: OnceLock::new(),
            without_images: OnceLock::new(),
            deleted,
            live,
        })
    }

    /// Rows, the deleted included.
    pub(crate) fn rows(&self) -> usize {
        self.vectors.len()
    }

    /// Prompts that are not deleted.
    pub(crate) fn len(&self) -> usize {
        let live = self.live.as_ref();
        live.map_or(self.rows(), |live| live.prompts.len() as usize)
    }

    /// Whether the row exists and is not deleted.
    pub(crate) fn contains(&self, row: u32) -> bool {
        let deleted = self.deleted.as_ref();
        (row as usize) < self.rows() && deleted.is_none_or(|gone| !gone.prompts.contains(row))
    }

    /// The rows that are not deleted.
    pub(crate) fn live_rows(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.rows() as u32).filter(|&row| self.contains(row))
    }

    /// What the numbers of its vectors are stored as.
    pub(crate) fn element(&self) -> Element {
        self.vectors.form().element()
    }

    /// Whether this version of the format would write it so, with numbers of this element.
    pub(crate) fn is_written_as(&self, element: Element) -> bool {
        let form = Form::searched(self.vectors.dim(), element);
        self.given.is_some() && self.vectors.form() == form
    }

    /// Whether a prompt was given by itself; of format version 1, whether it has no image.
    pub(crate) fn is_given(&self, row: u32) -> Result<bool> {
        match &self.given {
            Some(given) => Ok(given.contains(row)),
            None => Ok(self.image_rows(row, None)?.is_empty()),
        }
    }

    /// The prompts that are known from predictions alone.
    pub(crate) fn only_predicted(&self) -> Result<&RoaringBitmap> {
        if let Some(known) = self.only_predicted.get() {
            return Ok(known);
        }
        let images = self.images.predicted()?;
        let mut prompts = RoaringBitmap::new();
        for row in self.prompts_of(&images)? {
            if !self.is_given(row)? && self.image_rows(row, None)?.is_subset(&images) {
                prompts.insert(row);
            }
        }
        Ok(self.only_predicted.get_or_init(|| prompts))
    }

    /// What is deleted so far.
    pub(crate) fn deleted(&self) -> Deleted {
        self.deleted.clone().unwrap_or_default()
    }

    /// The id and the vector of a row for copying them, which makes sure that they are what was
    /// written: in another file, with checksums of its own, damage would never be found.
    pub(crate) fn to_copy(&self, row: u32) -> Result<(PromptId, Vec<f32>)> {
        for place in self.vectors.places(row) {
            let checked = self.blocks.check(self.vectors.bytes(), place);
            checked.map_err(|why| Error::corrupt(self.vectors.path(), "rows", why))?;
        }
        let vector = self.vectors.rows().get(row)?.into_owned();
        Ok((self.vectors.id(row)?, vector))
    }

    /// The row of a prompt that is not deleted.
    pub(crate) fn find(&self, id: PromptId) -> Result<Option<u32>> {
        let row = self.prompts.find(id)?;
        Ok(row.filter(|&row| self.contains(row)))
    }

    fn entry(&self, row: u32) -> EntryId {
        EntryId {
            segment: self.place,
            ordinal: row,
        }
    }

    /// What `filter` selects here of what is not deleted.
    pub(crate) fn select(&self, filter: &Filter) -> Result<Selection> {
        let rows = self.rows() as u32;
        let level = Level::Prompts(self.prompts.fields);
        let prompts = filter.matches(level, rows, &|query| self.prompts.select(query))?;
        let level = Level::Images(self.images.schema());
        let mut images =
            filter.matches(level, self.images.len(), &|query| self.images.select(query))?;
        let mut prompts = prompts.unwrap_or_else(|| (0..rows).collect());
        if let Some(images) = &mut images {
            if let Some(deleted) = &self.deleted {
                *images -= &deleted.images;
            }
            let mut fulfil = self.images.prompts(images, rows)?;
            if filter.takes_unknown_image(level)? {
                fulfil |= self.without_images()?;
            }
            prompts &= fulfil;
        }
        if let Some(live) = &self.live {
            prompts &= &live.prompts;
            images = images.or_else(|| live.images.clone());
        }
        Ok(Selection { prompts, images })
    }

    /// The prompts that have no image, or none that is not deleted.
    fn without_images(&self) -> Result<&RoaringBitmap> {
        if let Some(known) = self.without_images.get() {
            return Ok(known);
        }
        let mut images: RoaringBitmap = (0..self.images.len()).collect();
        if let Some(deleted) = &self.deleted {
            images -= &deleted.images;
        }
        let rows = self.rows() as u32;
        let all: RoaringBitmap = (0..rows).collect();
        let without = all - self.images.prompts(&images, rows)?;
        Ok(self.without_images.get_or_init(|| without))
    }

    /// `selection`, or else all that is not deleted.
    pub(crate) fn accept<'a>(&'a self, selection: Option<&'a Selection>) -> Option<&'a Selection> {
        selection.or(self.live.as_ref())
    }

    /// Offers the rows nearest to `query`.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        walk: Walk,
        selection: Option<&Selection>,
        best: &mut Best,
    ) -> Result<()> {
        let rows = self.vectors.rows();
        let accept = self.accept(selection).map(|accept| &accept.prompts);
        let ef = walk.ef.max(walk.k).min(self.rows());
        let mut offer = |score, row| best.offer(score, self.entry(row), || self.vectors.id(row));
        let mut scan = |candidates: &mut dyn Iterator<Item = u32>| {
            for row in candidates {
                offer(rows.score(row, query)?.score, row)?;
            }
            Ok(())
        };
        match accept {
            Some(accept) if walk.exact || few(accept.len(), ef, self.rows()) => {
                scan(&mut accept.iter())
            }
            None if walk.exact => scan(&mut (0..self.rows() as u32)),
            accept => {
                let width = Width { k: walk.k, ef };
                let found = self.graph.search(rows, query, width, accept, &self.pool)?;
                let mut found = found.into_iter();
                found.try_for_each(|candidate| offer(candidate.score, candidate.row))
            }
        }
    }

    /// The prompts as a part of the corpus that keywords are looked for in.
    pub(crate) fn part<'a>(&'a self, selection: Option<&'a Selection>) -> Part<'a> {
        let deleted = self.deleted.as_ref();
        Part {
            segment: self.place,
            prompts: &self.prompts,
            rows: self.rows(),
            deleted: deleted.map(|deleted| (&deleted.prompts, deleted.tokens)),
            accept: self.accept(selection).map(|accept| &accept.prompts),
            id: Box::new(|row| self.vectors.id(row)),
        }
    }

    /// The images of a prompt by their numbers, of `selection` if given.
    pub(crate) fn image_rows(
        &self,
        row: u32,
        selection: Option<&Selection>,
    ) -> Result<RoaringBitmap> {
        let images: RoaringBitmap = self.images.of_prompt(row)?.collect();
        let accept = self
            .accept(selection)
            .and_then(|accept| accept.images.as_ref());
        Ok(match accept {
            Some(accept) => images & accept,
            None => images,
        })
    }

    /// The first `limit` images of a prompt, of `selection` if given, and how many there are.
    pub(crate) fn images(
        &self,
        row: u32,
        selection: Option<&Selection>,
        limit: usize,
    ) -> Result<(Vec<ImageRecord>, usize)> {
        let images = self.image_rows(row, selection)?;
        let first = self.records(images.iter().take(limit))?;
        Ok((first, images.len() as usize))
    }

    /// Images by their numbers.
    pub(crate) fn records(&self, images: impl Iterator<Item = u32>) -> Result<Vec<ImageRecord>> {
        images.map(|image| self.images.record(image)).collect()
    }

    /// The images of a name, by their numbers, that are not deleted.
    pub(crate) fn named(&self, name: &str) -> Result<RoaringBitmap> {
        let images = self.images.named(name)?;
        Ok(match &self.deleted {
            Some(deleted) => images - &deleted.images,
            None => images,
        })
    }

    /// The prompts, deleted or not, that images belong to.
    pub(crate) fn prompts_of(&self, images: &RoaringBitmap) -> Result<RoaringBitmap> {
        self.images.prompts(images, self.rows() as u32)
    }
}

/// The files of a segment by their path in it, with the checksums of their blocks.
fn listed(files: &[FileEntry], manifest: &Path) -> Result<Listed> {
    let list = |file: &FileEntry| match Blocks::parse(&file.blocks, &file.xxh3, file.len) {
        Some(blocks) => Ok((PathBuf::from(&file.path), Arc::new(blocks))),
        None => {
            let why = format!(
                "the checksums of `{}` are not those of its length",
                file.path
            );
            Err(Error::corrupt(manifest, "files", why))
        }
    };
    files.iter().map(list).collect()
}

fn read_given(dir: &Path, file: &FileEntry, prompts: usize) -> Result<RoaringBitmap> {
    let path = dir.join(GIVEN);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    if hex(xxhash_rust::xxh3::xxh3_64(&bytes)) != file.xxh3 {
        let why = "its bytes are not those that were written";
        return Err(Error::corrupt(&path, "checksum", why));
    }
    given::parse(&bytes, prompts, &path)
}

fn read_deleted(
    dir: &Path,
    entry: &DeletedEntry,
    prompts: usize,
    images: usize,
) -> Result<Deleted> {
    let path = dir.join(&entry.file.path);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    if hex(xxhash_rust::xxh3::xxh3_64(&bytes)) != entry.file.xxh3 {
        let why = "its bytes are not those that were written";
        return Err(Error::corrupt(&path, "checksum", why));
    }
    let deleted = Deleted::parse(&bytes, prompts, images, &path)?;
    let found = (deleted.prompts.len(), deleted.images.len());
    if found != (entry.prompts as u64, entry.images as u64) {
        let why = format!("{found:?} prompts and images, but the MANIFEST says otherwise");
        return Err(Error::corrupt(&path, "counts", why));
    }
    Ok(deleted)
}

/// Whether comparing with each of `matches` rows costs less than a walk that skips all others.
fn few(matches: u64, ef: usize, rows: usize) -> bool {
    let walk = EXACT_FACTOR
        .saturating_mul(ef as u64)
        .saturating_mul(rows as u64);
    matches.saturating_mul(matches) <= walk
}
