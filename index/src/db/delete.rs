//! Deletes prompts and images: a commit that writes no segment, only what is gone of them.

use std::fs;
use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::index::Index;
use super::options::{Deletion, DeletionReport};
use super::transaction::Transaction;
use crate::deleted::Deleted;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::keyword::words;
use crate::manifest::{DeletedEntry, SegmentEntry, deleted_name, seal_file, segment_dir};
use crate::segment::Segment;
use crate::storage::Place;

/// Is told how much is done of how much, and whether to go on.
pub(super) type Observe<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'a;

/// Prompts looked at between two chances to stop.
const PROMPTS_PER_STEP: usize = 1024;

/// Deletes from the index at a folder. Their space is free after [`compact`](crate::compact).
///
/// By id, prompts go with all their images. By filter, what a search with it would list goes: if it
/// speaks of images, those images, and the prompts that are left without any and were not given by themselves, while
/// prompts that had none stay; if not, whole prompts. Images in the index are descriptions: no image file is touched.
///
/// # Errors
/// [`Error::NotAnIndex`], [`Error::Locked`], [`Error::Io`], and what
/// [`Index::open`](crate::Index::open) reports.
pub fn delete(place: impl Into<Place>, what: &Deletion) -> Result<DeletionReport> {
    delete_observed(place, what, &mut |_, _| ControlFlow::Continue(()))
}

/// As [`delete`]; `observe` is told how many prompts of how many have been looked at, and may ask to
/// stop by answering [`ControlFlow::Break`].
///
/// # Errors
/// [`Error::Cancelled`] on request, and those of [`delete`].
pub fn delete_observed(
    place: impl Into<Place>,
    what: &Deletion,
    observe: &mut Observe<'_>,
) -> Result<DeletionReport> {
    let mut transaction = Transaction::open(place.into())?;
    let Some(index) = transaction.index() else {
        return Ok(DeletionReport::default());
    };
    let (gone, missing) = gone(index, what)?;
    let mut report = DeletionReport {
        missing,
        ..DeletionReport::default()
    };
    let mut left = Vec::new();
    let entries = transaction.base().segments.iter();
    for ((entry, segment), gone) in entries.zip(&index.segments).zip(gone) {
        let without = without(&transaction, entry, segment, gone, observe)?;
        let (prompts, images) = without
            .as_ref()
            .map_or((0, 0), |left| (left.live_prompts(), left.live_images()));
        report.prompts += entry.live_prompts() - prompts;
        report.images += entry.live_images() - images;
        left.extend(without);
    }
    if report.prompts > 0 || report.images > 0 {
        transaction.commit(left, false)?;
    }
    Ok(report)
}

/// What goes of each segment, and the ids that are not there.
fn gone(index: &Index, what: &Deletion) -> Result<(Vec<Deleted>, usize)> {
    let mut gone = vec![Deleted::default(); index.segments.len()];
    let mut missing = 0;
    match what {
        Deletion::Prompts(ids) => {
            for id in ids {
                let entry = index.find(id)?;
                let segment = entry.and_then(|entry| gone.get_mut(entry.segment as usize));
                match (entry, segment) {
                    (Some(entry), Some(segment)) => {
                        segment.prompts.insert(entry.ordinal);
                    }
                    _ => missing += 1,
                }
            }
        }
        Deletion::Matching(filter) => {
            for (segment, gone) in index.segments.iter().zip(&mut gone) {
                *gone = matching(segment, filter)?;
            }
        }
    }
    Ok((gone, missing))
}

fn matching(segment: &Segment, filter: &Filter) -> Result<Deleted> {
    let selection = segment.select(filter)?;
    if !filter.speaks_of_images() {
        return Ok(Deleted {
            prompts: selection.prompts,
            ..Deleted::default()
        });
    }
    let mut gone = Deleted::default();
    for row in &selection.prompts {
        let images = segment.image_rows(row, Some(&selection))?;
        if images.is_empty() {
            continue;
        }
        if images == segment.image_rows(row, None)? && !segment.is_given(row)? {
            gone.prompts.insert(row);
        }
        gone.images |= images;
    }
    Ok(gone)
}

/// `entry` without what is `gone` as well, its file written and forced to disk; none, if nothing
/// is left. The images of prompts that go need not be named, nor their words counted.
pub(super) fn without(
    transaction: &Transaction,
    entry: &SegmentEntry,
    segment: &Segment,
    gone: Deleted,
    observe: &mut Observe<'_>,
) -> Result<Option<SegmentEntry>> {
    let mut all = segment.deleted();
    let new: RoaringBitmap = gone.prompts - &all.prompts;
    if new.len() as usize == segment.len() {
        return Ok(None);
    }
    let images_before = all.images.len();
    all.images |= gone.images;
    for (row, done) in new.iter().zip(0..) {
        if done % PROMPTS_PER_STEP == 0 && observe(done, new.len() as usize).is_break() {
            return Err(Error::Cancelled);
        }
        all.images |= segment.image_rows(row, None)?;
        all.tokens += words(&segment.prompts.text(row)?).len() as u64;
    }
    if new.is_empty() && all.images.len() == images_before {
        return Ok(Some(entry.clone()));
    }
    all.prompts |= new;
    let Place { dir, storage } = transaction.place();
    let folder = segment_dir(dir, entry.number);
    let name = deleted_name(transaction.base().generation + 1);
    let path = folder.join(&name);
    fs::write(&path, all.to_bytes()).map_err(Error::io("write", &path))?;
    let file = seal_file(&path, name, &**storage)?;
    storage
        .sync_dir(&folder)
        .map_err(Error::io("sync", &folder))?;
    Ok(Some(SegmentEntry {
        deleted: Some(DeletedEntry {
            prompts: all.prompts.len() as usize,
            images: all.images.len() as usize,
            file,
        }),
        ..entry.clone()
    }))
}
