//! The file `deleted-<generation>` of a segment: which of its rows are gone. A segment's other
//! files never change, so that each commit that deletes writes a new one of these.

use std::path::Path;

use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::wire::{self, HeaderReader, HeaderWriter};

const LABEL: [u8; 8] = *b"unpromtD";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;

/// What is gone of a segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Deleted {
    /// Rows of prompts.
    pub(crate) prompts: RoaringBitmap,
    /// Images: those of these prompts, and others.
    pub(crate) images: RoaringBitmap,
    /// Words that these prompts have, which no longer count in BM25.
    pub(crate) tokens: u64,
}

impl Deleted {
    /// The bytes of the file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (prompts, images) = (encode(&self.prompts), encode(&self.images));
        let mut header = HeaderWriter::new(LABEL, VERSION);
        header.u64(prompts.len() as u64);
        header.u64(images.len() as u64);
        header.u64(self.tokens);
        let mut bytes = header.finish(HEADER_LEN);
        bytes.extend_from_slice(&prompts);
        bytes.extend_from_slice(wire::padding(bytes.len()));
        bytes.extend_from_slice(&images);
        bytes
    }

    /// Reads the file of a segment of so many rows and images.
    pub(crate) fn parse(bytes: &[u8], rows: usize, images: usize, path: &Path) -> Result<Deleted> {
        let mut header = HeaderReader::new(bytes, HEADER_LEN, LABEL, VERSION, path)?;
        let (prompts_len, images_len) = (header.u64(), header.u64());
        let tokens = header.u64();
        let sections = || {
            let end = HEADER_LEN.checked_add(usize::try_from(prompts_len).ok()?)?;
            let start = wire::align_up(end)?;
            let stop = start.checked_add(usize::try_from(images_len).ok()?)?;
            (stop == bytes.len()).then_some(())?;
            Some((bytes.get(HEADER_LEN..end)?, bytes.get(start..stop)?))
        };
        let (prompts, image_bytes) = sections().ok_or_else(|| {
            let why = format!("its sections do not make {} bytes", bytes.len());
            Error::corrupt(path, "length", why)
        })?;
        Ok(Deleted {
            prompts: decode(prompts, rows, "prompts", path)?,
            images: decode(image_bytes, images, "images", path)?,
            tokens,
        })
    }
}

/// The bytes of a set of rows.
pub(crate) fn encode(rows: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.serialized_size());
    // Writing to memory does not fail.
    let _ = rows.serialize_into(&mut bytes);
    bytes
}

/// A set of rows below `count`.
pub(crate) fn decode(
    bytes: &[u8],
    count: usize,
    section: &'static str,
    path: &Path,
) -> Result<RoaringBitmap> {
    let rows = RoaringBitmap::deserialize_from(bytes)
        .map_err(|error| Error::corrupt(path, section, error.to_string()))?;
    match rows.max() {
        Some(row) if row as usize >= count => {
            let why = format!("row {row} of {count}");
            Err(Error::corrupt(path, section, why))
        }
        _ => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Deleted> {
        Deleted::parse(bytes, 100_000, 10, Path::new("deleted"))
    }

    #[test]
    fn rows_come_back() {
        for prompts in [0..0, 5..6, 0..100_000] {
            let deleted = Deleted {
                prompts: prompts.collect(),
                images: [0, 9].into_iter().collect(),
                tokens: 12,
            };
            assert_eq!(parse(&deleted.to_bytes()).unwrap(), deleted);
        }
    }

    #[test]
    fn cut_flipped_or_foreign_bytes_are_errors_or_rows_in_range() {
        let deleted = Deleted {
            prompts: (0..50_000).filter(|row| row % 3 == 0).collect(),
            images: [9].into_iter().collect(),
            tokens: 12,
        };
        let good = deleted.to_bytes();
        for len in 0..good.len() {
            assert!(parse(&good[..len]).is_err(), "{len} bytes");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            if let Ok(read) = parse(&bad) {
                assert!(at >= HEADER_LEN, "byte {at}");
                assert!(read.prompts.max().is_none_or(|row| row < 100_000));
            }
        }
        let foreign = Deleted {
            images: [10].into_iter().collect(),
            ..deleted
        };
        assert!(parse(&foreign.to_bytes()).is_err(), "there is no image 10");
    }
}
