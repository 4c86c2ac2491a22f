//! Builds an index, adds to one, and merges its segments; all or nothing.

use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::check_vector;
use super::delete::without;
use super::index::Index;
use super::options::{BuildOptions, Encoder, Phase, Stats};
use super::removal::Removal;
use super::staging::Staging;
use super::transaction::Transaction;
use crate::deleted::Deleted;
use crate::error::{Error, Result, one_line};
use crate::id::{EntryId, PromptId};
use crate::manifest::{SegmentEntry, seal};
use crate::record::ImageRecord;
use crate::segment::{Segment, SegmentWriter, Step, distinct};
use crate::storage::Place;
use crate::vector::element::Element;
use crate::vector::form::MAX_DIM;
use crate::vector::hnsw::build::Parameters;
use crate::vector::hnsw::layout::MAX_M;

/// Prompts that an addition may always rewrite, beside its own, to keep the number of segments
/// small: they are merged with it in well under a minute.
const MAX_ABSORBED: usize = 50_000;
/// In a large index, the part of it that an addition may rewrite. Three million prompts that come
/// by the thousand are in 36 segments then, and each was rewritten three times on average.
const ABSORBED_PART: usize = 8;

/// Adds prompts to a new or an existing index.
///
/// Nothing changes until [`Writer::commit`] has returned; a writer that is dropped before removes
/// what it wrote, and what a killed one leaves behind is removed by the next. Only what was
/// [staged](Writer::stage) stays, for the next writer to use.
pub struct Writer {
    // Dropped in this order: files are closed before `transaction` removes them.
    segment: Option<SegmentWriter>,
    staging: Staging,
    /// Rows of the segments that were there which have moved to the new one, or go.
    moved: Vec<RoaringBitmap>,
    removal: Removal,
    parameters: Parameters,
    element: Element,
    transaction: Transaction,
}

impl Writer {
    /// Starts an index at a folder, which must be absent, empty, or hold nothing but what an
    /// unfinished build left.
    ///
    /// # Errors
    /// [`Error::AlreadyAnIndex`], [`Error::ForeignFile`], [`Error::Locked`], [`Error::Option`] for
    /// an encoder or options out of range, [`Error::Io`].
    pub fn create(
        place: impl Into<Place>,
        encoder: Encoder,
        options: BuildOptions,
    ) -> Result<Writer> {
        let parameters = parameters(&options)?;
        if !(1..=MAX_DIM).contains(&encoder.dim) {
            let why = format!("{} is not between 1 and {MAX_DIM}", encoder.dim);
            return Err(Error::Option { name: "dim", why });
        }
        let transaction = Transaction::create(place.into(), encoder)?;
        Writer::new(transaction, parameters, options.element)
    }

    /// Opens the index at a folder for adding.
    ///
    /// # Errors
    /// [`Error::NotAnIndex`], [`Error::Locked`], [`Error::Option`] for options out of range, and
    /// what [`Index::open`] reports.
    pub fn open(place: impl Into<Place>, options: BuildOptions) -> Result<Writer> {
        let parameters = parameters(&options)?;
        let transaction = Transaction::open(place.into())?;
        Writer::new(transaction, parameters, options.element)
    }

    fn new(
        transaction: Transaction,
        parameters: Parameters,
        element: Option<Element>,
    ) -> Result<Writer> {
        let there = || Some(transaction.index()?.segments.last()?.element());
        let element = element.or_else(there).unwrap_or_default();
        Ok(Writer {
            segment: None,
            staging: Staging::open(transaction.place(), &transaction.base().encoder)?,
            moved: vec![RoaringBitmap::new(); transaction.base().segments.len()],
            removal: Removal::new(transaction.base().segments.len()),
            parameters,
            element,
            transaction,
        })
    }

    /// The encoder whose vectors these are.
    pub fn encoder(&self) -> &Encoder {
        &self.transaction.base().encoder
    }

    /// The index as it was before; none, if it is a new one.
    pub fn before(&self) -> Option<&Index> {
        self.transaction.index()
    }

    /// Prompts that are in the index, or have been pushed.
    pub fn len(&self) -> usize {
        let moved: u64 = self.moved.iter().map(RoaringBitmap::len).sum();
        self.pushed() + self.transaction.index().map_or(0, Index::len) - moved as usize
    }

    /// Whether there is no prompt.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn pushed(&self) -> usize {
        self.segment.as_ref().map_or(0, SegmentWriter::len)
    }

    /// Vectors that are [staged](Writer::stage).
    pub fn staged(&self) -> usize {
        self.staging.len()
    }

    /// Whether `prompt` can be [added](Writer::add) without a vector: it is in the index, has been
    /// pushed, or its vector is staged.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn knows(&self, prompt: &str) -> Result<bool> {
        let id = PromptId::of(prompt);
        Ok(self.staging.contains(id) || self.row(id).is_some() || self.existing(id)?.is_some())
    }

    /// Keeps vectors, one after the other, for prompts that will be added: they are there again
    /// after the process was killed, until an index with this encoder is committed in this folder.
    /// Each call makes a file.
    ///
    /// # Errors
    /// [`Error::Dim`], [`Error::Vector`], [`Error::Io`].
    pub fn stage(&mut self, prompts: &[&str], vectors: &[f32]) -> Result<()> {
        let dim = self.encoder().dim;
        let expected = prompts.len() * dim;
        if vectors.len() != expected {
            let got = vectors.len();
            return Err(Error::Dim { expected, got });
        }
        vectors
            .chunks_exact(dim)
            .try_for_each(|vector| check_vector(vector, dim))?;
        let ids: Vec<PromptId> = prompts.iter().map(|prompt| PromptId::of(prompt)).collect();
        self.staging.add(&ids, vectors)
    }

    /// Adds a prompt with its vector and images. A prompt that is there already gains the images
    /// only. One that was ever added without an image counts as given by itself, and stays when its last image goes. Of
    /// images of one prompt with the same name and part, the last one counts.
    ///
    /// # Errors
    /// [`Error::Dim`], [`Error::Vector`] if it is not finite or its length is not within 0.001 of
    /// 1, [`Error::Full`], [`Error::Corrupt`], [`Error::Io`], [`Error::Tantivy`]. After one of the
    /// last two the writer can only be dropped.
    pub fn push(
        &mut self,
        prompt: &str,
        vector: &[f32],
        images: Vec<ImageRecord>,
    ) -> Result<PromptId> {
        check_vector(vector, self.encoder().dim)?;
        let id = PromptId::of(prompt);
        if !self.add_known(id, prompt, &images)? {
            let given = images.is_empty();
            self.put(id, prompt, vector, images, given)?;
        }
        Ok(id)
    }

    /// Adds a prompt that the writer [knows](Writer::knows), with its images, as
    /// [`push`](Writer::push) does.
    ///
    /// # Errors
    /// [`Error::NoVector`] if it does not know it; else those of [`push`](Writer::push).
    pub fn add(&mut self, prompt: &str, images: Vec<ImageRecord>) -> Result<PromptId> {
        let id = PromptId::of(prompt);
        if self.add_known(id, prompt, &images)? {
            return Ok(id);
        }
        let Some(vector) = self.staging.get(id)? else {
            return Err(Error::NoVector {
                prompt: one_line(&prompt.chars().take(80).collect::<String>()),
            });
        };
        let (vector, given) = (vector.into_owned(), images.is_empty());
        self.put(id, prompt, &vector, images, given)?;
        Ok(id)
    }

    /// Removes the images of a name, of whatever prompt and part; how many there were. What is to take their place is
    /// added after that. A prompt that loses its last image goes, unless it was given by itself or is added again.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn remove_images(&mut self, name: &str) -> Result<usize> {
        let pushed = self
            .segment
            .as_mut()
            .map(|segment| segment.remove_images(name));
        match self.transaction.index() {
            Some(index) => {
                let before = self.removal.add(&index.segments, name, &self.moved)?;
                Ok(before + pushed.unwrap_or(0))
            }
            None => Ok(pushed.unwrap_or(0)),
        }
    }

    /// Adds images to a prompt that is there or has been pushed; whether it was.
    fn add_known(&mut self, id: PromptId, prompt: &str, images: &[ImageRecord]) -> Result<bool> {
        if let Some(row) = self.row(id) {
            self.images(row, images.to_vec(), images.is_empty())?;
            return Ok(true);
        }
        let Some(entry) = self.existing(id)? else {
            return Ok(false);
        };
        let segment = self.base_segment(entry)?;
        let before = segment.image_rows(entry.ordinal, None)?;
        let left = self.removal.left_of(entry.segment as usize, &before);
        let kept = segment.records(left.iter())?;
        let all = distinct([&kept, images].concat());
        let was_given = segment.is_given(entry.ordinal)?;
        let given = was_given || images.is_empty();
        if left != before || all != kept || given != was_given {
            let (_, vector) = segment.to_copy(entry.ordinal)?;
            self.put(id, prompt, &vector, all, given)?;
            if let Some(moved) = self.moved.get_mut(entry.segment as usize) {
                moved.insert(entry.ordinal);
            }
        }
        Ok(true)
    }

    /// Where a prompt stands that has been there before and has not moved.
    fn existing(&self, id: PromptId) -> Result<Option<EntryId>> {
        let Some(index) = self.transaction.index() else {
            return Ok(None);
        };
        let moved = |entry: &EntryId| {
            let moved = self.moved.get(entry.segment as usize);
            moved.is_some_and(|moved| moved.contains(entry.ordinal))
        };
        Ok(index.find(&id)?.filter(|entry| !moved(entry)))
    }

    fn base_segment(&self, entry: EntryId) -> Result<&Segment> {
        let missing = || Error::NoSuchEntry {
            entry: entry.to_string(),
        };
        self.transaction.index().ok_or_else(missing)?.segment(entry)
    }

    /// Whether there are segments that would be written otherwise today.
    fn has_other_segments(&self) -> bool {
        let index = self.transaction.index();
        let other = |segment: &Segment| !segment.is_written_as(self.element);
        index.is_some_and(|index| index.segments.iter().any(other))
    }

    fn segment_at(&self, place: usize) -> Option<&Segment> {
        self.transaction.index()?.segments.get(place)
    }

    fn row(&self, id: PromptId) -> Option<u32> {
        self.segment.as_ref().and_then(|segment| segment.row(id))
    }

    /// Puts a prompt that is not there into the new segment.
    fn put(
        &mut self,
        id: PromptId,
        prompt: &str,
        vector: &[f32],
        images: Vec<ImageRecord>,
        given: bool,
    ) -> Result<()> {
        let segment = match &mut self.segment {
            Some(segment) => segment,
            None => {
                let dir = self.transaction.next_segment_dir();
                let dim = self.transaction.base().encoder.dim;
                self.segment
                    .insert(SegmentWriter::create(&dir, dim, self.element)?)
            }
        };
        let row = segment.push(id, prompt, vector)?;
        self.images(row, images, given)
    }

    fn images(&mut self, row: u32, images: Vec<ImageRecord>, given: bool) -> Result<()> {
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        if given {
            segment.give(row);
        }
        segment.add_images(row, images)
    }

    /// Builds the graph, writes the rest, and makes it the index; `progress` is told how far it
    /// is, and may ask to stop by answering [`ControlFlow::Break`]. Small segments that were added
    /// before are merged with the new one, so that there are a few dozen of them at
    /// most for millions of prompts. If nothing has changed, neither does the index.
    ///
    /// In this order: the files of the segment, each forced to disk; their folders, of a new index
    /// its own and those above as well; the MANIFEST under another name, forced to disk; its
    /// renaming; the index folder. Killed at any moment, the index is as before or as after.
    ///
    /// # Errors
    /// [`Error::Cancelled`] on request, [`Error::Io`], [`Error::Tantivy`], [`Error::Corrupt`]. In
    /// all cases what was written is removed, except where the very last step fails, making the
    /// names in the index folder last: then the change is there, but may not survive a loss of
    /// power.
    pub fn commit(mut self, progress: &mut dyn FnMut(Phase) -> ControlFlow<()>) -> Result<Stats> {
        self.staging.close();
        let stats = if self.pushed() == 0
            && self.removal.is_empty()
            && self.transaction.index().is_some()
        {
            self.transaction.unchanged()?
        } else {
            if let Some(index) = self.transaction.index() {
                self.removal.add_emptied(&index.segments, &mut self.moved)?;
            }
            let live: Vec<usize> = self.live().collect();
            for place in absorbed(&live, self.pushed())..live.len() {
                self.absorb(place, progress)?;
            }
            self.write(progress)?
        };
        // What is left of it costs space, and the next addition removes it.
        if let Err(error) = self.staging.remove(self.transaction.place()) {
            tracing::debug!("{error}");
        }
        Ok(stats)
    }

    /// Prompts that are left in each of the segments that were there.
    fn live(&self) -> impl Iterator<Item = usize> + '_ {
        let index = self.transaction.index();
        let segments = index.map(|index| index.segments.iter());
        segments
            .into_iter()
            .flatten()
            .zip(&self.moved)
            .map(|(segment, moved)| segment.len() - moved.len() as usize)
    }

    /// Moves what is left of a segment into the new one.
    fn absorb(
        &mut self,
        place: usize,
        progress: &mut dyn FnMut(Phase) -> ControlFlow<()>,
    ) -> Result<()> {
        let Some(moved) = self.moved.get(place).cloned() else {
            return Ok(());
        };
        let rows = self.segment_at(place).map(Segment::live_rows);
        let rows = rows
            .map(Iterator::collect::<RoaringBitmap>)
            .unwrap_or_default()
            - moved;
        let total = rows.len() as usize;
        for (row, done) in rows.into_iter().zip(0..) {
            if done % 4096 == 0 && progress(Phase::Copy { done, total }).is_break() {
                return Err(Error::Cancelled);
            }
            let Some(segment) = self.segment_at(place) else {
                break;
            };
            let ((id, vector), prompt) = (segment.to_copy(row)?, segment.prompts.text(row)?);
            let images = self.removal.left_of(place, &segment.image_rows(row, None)?);
            let images = segment.records(images.iter())?;
            let given = segment.is_given(row)?;
            self.put(id, &prompt, &vector, images, given)?;
            if let Some(moved) = self.moved.get_mut(place) {
                moved.insert(row);
            }
        }
        Ok(())
    }

    /// Finishes the new segment and commits it beside what is left of the others.
    fn write(&mut self, progress: &mut dyn FnMut(Phase) -> ControlFlow<()>) -> Result<Stats> {
        let place = self.transaction.place().clone();
        let mut entries = self.left(progress)?;
        let grown = self.segment.is_some();
        if let Some(segment) = self.segment.take() {
            let written = segment.finish(self.parameters, &mut |step| {
                progress(match step {
                    Step::Graph { done, total } => Phase::Graph { done, total },
                    Step::Keywords => Phase::Keywords,
                    Step::Images => Phase::Images,
                })
            })?;
            if progress(Phase::Sync).is_break() {
                return Err(Error::Cancelled);
            }
            entries.push(SegmentEntry {
                number: self.transaction.base().next_segment,
                prompts: written.prompts,
                images: written.images,
                files: seal(&self.transaction.next_segment_dir(), &*place.storage)?,
                deleted: None,
            });
        }
        self.transaction.commit(entries, grown)
    }

    /// The segments that were there without what has moved.
    fn left(
        &self,
        progress: &mut dyn FnMut(Phase) -> ControlFlow<()>,
    ) -> Result<Vec<SegmentEntry>> {
        let Some(index) = self.transaction.index() else {
            return Ok(Vec::new());
        };
        let mut left = Vec::new();
        let entries = self.transaction.base().segments.iter();
        let gone = self.moved.iter().zip(self.removal.images());
        for ((entry, segment), (moved, removed)) in entries.zip(&index.segments).zip(gone) {
            let gone = Deleted {
                prompts: moved.clone(),
                images: removed.clone(),
                ..Deleted::default()
            };
            let observe = &mut |done, total| progress(Phase::Copy { done, total });
            left.extend(without(&self.transaction, entry, segment, gone, observe)?);
        }
        Ok(left)
    }
}

/// Merges all segments of the index at a folder into one, without what is deleted. An index that
/// is one segment without deletions already, of this version of the format and with numbers of the
/// wanted [`Element`], stays as it is. Readers go on with what they have opened.
///
/// # Errors
/// Those of [`Writer::open`] and [`Writer::commit`].
pub fn compact(
    place: impl Into<Place>,
    options: BuildOptions,
    progress: &mut dyn FnMut(Phase) -> ControlFlow<()>,
) -> Result<Stats> {
    let mut writer = Writer::open(place, options)?;
    writer.staging.close();
    match &writer.transaction.base().segments[..] {
        [] => return writer.transaction.unchanged(),
        [one] if one.deleted.is_none() && !writer.has_other_segments() => {
            return writer.transaction.unchanged();
        }
        _ => {}
    }
    for place in 0..writer.moved.len() {
        writer.absorb(place, progress)?;
    }
    writer.write(progress)
}

/// The first of the last segments, of so many prompts each, that an addition of `added` prompts is
/// merged with: those no larger than what is merged so far, as long as that is no large part of the
/// index. So a prompt is rewritten as often as the logarithm of how many are added, and segments
/// at least halve from one to the next, but for some large ones.
fn absorbed(live: &[usize], added: usize) -> usize {
    let (mut first, mut merged) = (live.len(), added);
    let most = MAX_ABSORBED.max(live.iter().sum::<usize>() / ABSORBED_PART);
    for (place, &prompts) in live.iter().enumerate().rev() {
        if prompts > merged || merged + prompts > added + most {
            break;
        }
        (first, merged) = (place, merged + prompts);
    }
    first
}

fn parameters(options: &BuildOptions) -> Result<Parameters> {
    let &BuildOptions {
        m,
        ef_construction,
        threads,
        ..
    } = options;
    let refuse = |name, why| Err(Error::Option { name, why });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_one_by_one_counts_in_binary() {
        let mut segments: Vec<usize> = Vec::new();
        for added in 1..=1000 {
            let first = absorbed(&segments, 1);
            let merged = 1 + segments.drain(first..).sum::<usize>();
            segments.push(merged);
            assert_eq!(segments.len() as u32, u32::count_ones(added));
        }
    }

    #[test]
    fn large_additions_leave_few_segments_and_rewrite_little() {
        for added in [1000, 10_000, 100_000] {
            let mut segments: Vec<usize> = Vec::new();
            let (mut total, mut rewritten) = (0, 0);
            while total < 3_000_000 {
                let first = absorbed(&segments, added);
                let merged = segments.drain(first..).sum::<usize>();
                assert!(merged <= MAX_ABSORBED.max(total / ABSORBED_PART));
                rewritten += merged;
                total += added;
                segments.push(merged + added);
            }
            assert!(segments.len() <= 40, "{added}: {segments:?}");
            assert!(rewritten / total <= 4, "{added}: {rewritten}");
        }
    }

    #[test]
    fn no_addition_rewrites_a_large_segment() {
        assert_eq!(absorbed(&[MAX_ABSORBED + 1], MAX_ABSORBED * 2), 1);
        assert_eq!(absorbed(&[40_000, 20_000], 50_000), 1);
        assert_eq!(absorbed(&[], 5), 0);
        assert_eq!(absorbed(&[0], 0), 0);
    }
}
