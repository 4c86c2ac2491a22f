//! The file `given` of a segment: which of its prompts were given by themselves, not through an image alone. They
//! stay when their last image goes, and are known whatever their images say.

use std::path::Path;

use roaring::RoaringBitmap;

use crate::deleted::{decode, encode};
use crate::error::{Error, Result};
use crate::wire::{HeaderReader, HeaderWriter};

const LABEL: [u8; 8] = *b"unpromtP";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;

/// The bytes of the file.
pub(crate) fn to_bytes(rows: &RoaringBitmap) -> Vec<u8> {
    let mut rows = rows.clone();
    // All of them, where prompts came without images.
    rows.optimize();
    let rows = encode(&rows);
    let mut header = HeaderWriter::new(LABEL, VERSION);
    header.u64(rows.len() as u64);
    let mut bytes = header.finish(HEADER_LEN);
    bytes.extend_from_slice(&rows);
    bytes
}

/// Reads the file of a segment of so many rows.
pub(crate) fn parse(bytes: &[u8], rows: usize, path: &Path) -> Result<RoaringBitmap> {
    let mut header = HeaderReader::new(bytes, HEADER_LEN, LABEL, VERSION, path)?;
    let len = header.u64();
    match bytes.get(HEADER_LEN..) {
        Some(body) if body.len() as u64 == len => decode(body, rows, "prompts", path),
        _ => {
            let why = format!("{len} bytes of rows do not make {}", bytes.len());
            Err(Error::corrupt(path, "length", why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_damage_does_not() {
        for rows in [0..0, 3..4, 0..100_000] {
            let rows: RoaringBitmap = rows.collect();
            let good = to_bytes(&rows);
            assert_eq!(parse(&good, 100_000, Path::new("given")).unwrap(), rows);
            for len in 0..good.len() {
                assert!(parse(&good[..len], 100_000, Path::new("given")).is_err());
            }
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 0x41;
                if let Ok(read) = parse(&bad, 100_000, Path::new("given")) {
                    assert!(at >= HEADER_LEN, "byte {at}");
                    assert!(read.max().is_none_or(|row| row < 100_000));
                }
            }
        }
        let beyond = to_bytes(&(5..6).collect());
        assert!(parse(&beyond, 5, Path::new("given")).is_err());
    }
}
