//! Bytes of our own files: a header with label, byte order, version and checksum, then sections
//! that start on multiples of 64 bytes. All numbers are little endian; see `docs/format.md`.
//!
//! A bespoke format, because the sections are read in place from a mapping: nothing is decoded,
//! and a reader over `&[u8]` needs no unsafe code.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

/// Sections start on multiples of this: a cache line, and enough for every element type.
pub(crate) const ALIGN: usize = 64;

/// Reads as itself only in the byte order it was written in.
const BYTE_ORDER_MARK: u32 = 0x0102_0304;

/// Label, byte order mark, version.
const PREFIX_LEN: usize = 8 + size_of::<u32>() + size_of::<u32>();

/// The checksum that ends a header.
const CHECKSUM_LEN: usize = size_of::<u64>();

/// `len` rounded up to the next section boundary, or `None` if there is no such number.
pub(crate) fn align_up(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(ALIGN)
}

/// Zeros that take `len` to the next section boundary.
pub(crate) fn padding(len: usize) -> &'static [u8] {
    &[0; ALIGN][..len.next_multiple_of(ALIGN) - len]
}

/// A header being written.
pub(crate) struct HeaderWriter(Vec<u8>);

impl HeaderWriter {
    pub(crate) fn new(label: [u8; 8], version: u32) -> HeaderWriter {
        let mut header = HeaderWriter(label.to_vec());
        header.u32(BYTE_ORDER_MARK);
        header.u32(version);
        header
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// The header, filled with zeros to `len` bytes of which the last eight are the checksum.
    pub(crate) fn finish(mut self, len: usize) -> Vec<u8> {
        debug_assert!(self.0.len() <= len - CHECKSUM_LEN && len.is_multiple_of(ALIGN));
        self.0.resize(len - CHECKSUM_LEN, 0);
        let checksum = xxh3_64(&self.0);
        self.u64(checksum);
        self.0
    }
}

/// The numbers of a header whose checksum was right, in the order they were written.
pub(crate) struct HeaderReader<'a>(&'a [u8]);

impl<'a> HeaderReader<'a> {
    /// Checks label, byte order, version and checksum of the `len` bytes that `bytes` starts with.
    pub(crate) fn new(
        bytes: &'a [u8],
        len: usize,
        label: [u8; 8],
        version: u32,
        path: &Path,
    ) -> Result<HeaderReader<'a>> {
        let damaged = |why: &str| Error::corrupt(path, "header", why);
        let header = bytes
            .get(..len)
            .ok_or_else(|| damaged(&format!("{} bytes are too few for a header", bytes.len())))?;
        let mut reader = HeaderReader(header);
        if reader.take::<8>() != label {
            return Err(damaged("it does not start with the label of such a file"));
        }
        let mark = reader.u32();
        if mark == BYTE_ORDER_MARK.swap_bytes() || cfg!(target_endian = "big") {
            return Err(damaged("its byte order is not this machine's"));
        }
        if mark != BYTE_ORDER_MARK {
            return Err(damaged("it has no byte order mark"));
        }
        let found = reader.u32();
        let (body, checksum) = header.split_at(len - CHECKSUM_LEN);
        if xxh3_64(body).to_le_bytes() != checksum {
            return Err(damaged("its checksum does not match"));
        }
        if found > version {
            return Err(Error::NewerFormat {
                path: path.to_owned(),
                found,
                supported: version,
            });
        }
        debug_assert_eq!(len - reader.0.len(), PREFIX_LEN);
        reader.0 = &body[PREFIX_LEN..];
        Ok(reader)
    }

    /// The next `N` bytes; zeros past the end, where a format has reserved words.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => [0; N],
        }
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// `len` bytes from `offset` as elements, or `None` if they are not there or not aligned.
pub(crate) fn section<T: bytemuck::AnyBitPattern>(
    bytes: &[u8],
    offset: usize,
    len: usize,
) -> Option<&[T]> {
    let bytes = bytes.get(offset..offset.checked_add(len)?)?;
    bytemuck::try_cast_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: [u8; 8] = *b"testfile";

    fn header() -> Vec<u8> {
        let mut header = HeaderWriter::new(LABEL, 2);
        header.u16(7);
        header.u64(1 << 40);
        header.finish(64)
    }

    fn read(bytes: &[u8], version: u32) -> Result<(u16, u64)> {
        let mut reader = HeaderReader::new(bytes, 64, LABEL, version, Path::new("f"))?;
        Ok((reader.u16(), reader.u64()))
    }

    #[test]
    fn header_comes_back() {
        assert_eq!(read(&header(), 2).unwrap(), (7, 1 << 40));
        assert!(matches!(
            read(&header(), 1),
            Err(Error::NewerFormat {
                found: 2,
                supported: 1,
                ..
            })
        ));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = header();
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(
                matches!(read(&bad, 2), Err(Error::Corrupt { .. })),
                "bit {at}"
            );
        }
        for len in 0..good.len() {
            assert!(
                matches!(read(&good[..len], 2), Err(Error::Corrupt { .. })),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn sections_are_checked() {
        let words = [1u32, 2, 3, 4];
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        assert_eq!(section::<u32>(bytes, 4, 8), Some(&[2, 3][..]));
        assert_eq!(section::<u32>(bytes, 1, 8), None, "not aligned");
        assert_eq!(section::<u32>(bytes, 12, 8), None, "past the end");
        assert_eq!(section::<u32>(bytes, usize::MAX, 8), None, "overflow");
        assert_eq!(align_up(65), Some(128));
        assert_eq!(align_up(usize::MAX), None);
        assert_eq!(padding(65).len(), 63);
        assert!(padding(128).is_empty());
    }
}
