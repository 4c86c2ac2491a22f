//! Counts and sizes, from the MANIFEST alone.

use std::path::Path;

use super::options::{Bytes, Encoder, Stats};
use crate::error::{Error, Result};
use crate::manifest::{MANIFEST, Manifest};
use crate::segment::{GRAPH, IMAGES, PROMPTS, VECTORS};

/// The statistics of the index at `dir`.
pub(super) fn stats(manifest: &Manifest<Encoder>, dir: &Path) -> Result<Stats> {
    let path = dir.join(MANIFEST);
    let mut bytes = Bytes {
        total: path.metadata().map_err(Error::io("read", &path))?.len(),
        ..Bytes::default()
    };
    for file in manifest.segments.iter().flat_map(|segment| &segment.files) {
        let part = match file.path.split('/').next().unwrap_or_default() {
            VECTORS => &mut bytes.vectors,
            GRAPH => &mut bytes.graph,
            PROMPTS => &mut bytes.prompts,
            IMAGES => &mut bytes.images,
            _ => continue,
        };
        *part = part.saturating_add(file.len);
        bytes.total = bytes.total.saturating_add(file.len);
    }
    Ok(Stats {
        prompts: manifest
            .segments
            .iter()
            .map(|segment| segment.prompts)
            .sum(),
        images: manifest.segments.iter().map(|segment| segment.images).sum(),
        segments: manifest.segments.len(),
        generation: manifest.generation,
        encoder: manifest.encoder.clone(),
        bytes,
    })
}
