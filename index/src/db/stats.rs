//! Counts and sizes, from the MANIFEST alone.

use std::path::Path;

use super::options::{Bytes, Encoder, Stats};
use crate::error::{Error, Result};
use crate::manifest::{DELETED, MANIFEST, Manifest, SegmentEntry};
use crate::segment::{GIVEN, GRAPH, IMAGES, PROMPTS, VECTORS};

/// The statistics of the index at `dir`.
pub(crate) fn stats(manifest: &Manifest<Encoder>, dir: &Path) -> Result<Stats> {
    let path = dir.join(MANIFEST);
    let mut bytes = Bytes {
        total: path.metadata().map_err(Error::io("read", &path))?.len(),
        ..Bytes::default()
    };
    let files = manifest.segments.iter().flat_map(SegmentEntry::all_files);
    for file in files {
        let part = match file.path.split(['/', '-']).next().unwrap_or_default() {
            VECTORS => &mut bytes.vectors,
            GRAPH => &mut bytes.graph,
            PROMPTS | GIVEN => &mut bytes.prompts,
            IMAGES => &mut bytes.images,
            DELETED => &mut bytes.deleted,
            _ => continue,
        };
        *part = part.saturating_add(file.len);
        bytes.total = bytes.total.saturating_add(file.len);
    }
    let sum = |count: fn(&SegmentEntry) -> usize| manifest.segments.iter().map(count).sum();
    let (prompts, images) = (
        sum(SegmentEntry::live_prompts),
        sum(SegmentEntry::live_images),
    );
    Ok(Stats {
        prompts,
        images,
        deleted_prompts: sum(|segment| segment.prompts) - prompts,
        deleted_images: sum(|segment| segment.images) - images,
        segments: manifest.segments.len(),
        generation: manifest.generation,
        encoder: manifest.encoder.clone(),
        bytes,
    })
}
