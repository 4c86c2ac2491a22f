//! Checksums of a file block by block, so that bytes are checked when they are first read rather
//! than all at once.
//!
//! tantivy trusts its files. A damaged length among them can make it ask for more memory than there
//! is, which ends the process, and nothing can catch that; so it never gets to see a byte that is
//! not what was written. Nor does a change copy such bytes into a new segment, whose checksums
//! would make them look sound for ever.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// The least that is checked at a time: little enough to read one prompt, and to hash in a few
/// microseconds.
const LEAST_LEN: u64 = 1 << 16;
/// Blocks that a file may have; those of large files are larger, to keep the MANIFEST small.
const MOST: u64 = 1 << 12;

/// Hexadecimal digits of a checksum.
const DIGITS: usize = 16;

/// Bytes in each block of a file of `len` bytes, the last excepted.
fn block_len(len: u64) -> u64 {
    len.div_ceil(MOST).next_power_of_two().max(LEAST_LEN)
}

/// Takes the checksums of a file of known length, whose bytes come piece by piece.
pub(crate) struct BlockHasher {
    block_len: u64,
    filled: u64,
    hash: Xxh3Default,
    sums: Vec<String>,
}

impl BlockHasher {
    pub(crate) fn new(len: u64) -> BlockHasher {
        BlockHasher {
            block_len: block_len(len),
            filled: 0,
            hash: Xxh3Default::new(),
            sums: Vec::new(),
        }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = usize::try_from(self.block_len - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            self.hash.update(now);
            self.filled += now.len() as u64;
            if self.filled == self.block_len {
                self.end_block();
            }
            bytes = later;
        }
    }

    fn end_block(&mut self) {
        self.sums.push(format!("{:016x}", self.hash.digest()));
        self.hash.reset();
        self.filled = 0;
    }

    /// The checksums as [`Blocks::parse`] reads them: none of a file of one block, whose own
    /// checksum serves.
    pub(crate) fn finish(mut self) -> String {
        if self.filled > 0 {
            self.end_block();
        }
        match &self.sums[..] {
            [] | [_] => String::new(),
            sums => sums.concat(),
        }
    }
}

/// The checksums of a file, and which of its blocks have been found right.
#[derive(Debug)]
pub(crate) struct Blocks {
    len: u64,
    block_len: u64,
    sums: Vec<u64>,
    right: Vec<AtomicBool>,
}

impl Blocks {
    /// The checksums of a file of `len` bytes, `whole` being its own, which serves where there are
    /// no others; none, if they are not that.
    pub(crate) fn parse(text: &str, whole: &str, len: u64) -> Option<Blocks> {
        let (text, block_len) = match text {
            "" => (whole, len.max(1)),
            text => (text, block_len(len)),
        };
        let digits = text.as_bytes().chunks(DIGITS);
        if digits.len() as u64 != len.div_ceil(block_len).max(1) {
            return None;
        }
        let sum = |digits: &[u8]| {
            let digits = str::from_utf8(digits).ok()?;
            (digits.len() == DIGITS).then_some(())?;
            u64::from_str_radix(digits, 16).ok()
        };
        let sums: Vec<u64> = digits.map(sum).collect::<Option<_>>()?;
        Some(Blocks {
            len,
            block_len,
            right: sums.iter().map(|_| AtomicBool::new(false)).collect(),
            sums,
        })
    }

    /// Checks those blocks of `file` that `range` touches and that have not been checked before; if
    /// one of them is not what was written, or `range` leaves the file, why.
    pub(crate) fn check(&self, file: &[u8], range: Range<usize>) -> Result<(), String> {
        if file.len() as u64 != self.len {
            return Err(format!("{} bytes instead of {}", file.len(), self.len));
        }
        if range.start > range.end || range.end > file.len() {
            return Err(format!("it has no bytes {range:?}"));
        }
        let block_len = usize::try_from(self.block_len).unwrap_or(usize::MAX);
        let first = range.start / block_len;
        let end = range.end.div_ceil(block_len);
        let blocks = self
            .sums
            .iter()
            .zip(&self.right)
            .zip(file.chunks(block_len));
        for (number, ((sum, right), block)) in blocks.enumerate().take(end).skip(first) {
            if right.load(Ordering::Relaxed) {
                continue;
            }
            if xxh3_64(block) != *sum {
                return Err(format!(
                    "the {} bytes from {} are not those that were written",
                    block.len(),
                    number * block_len
                ));
            }
            right.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(bytes: &[u8], piece: usize) -> Blocks {
        let len = bytes.len() as u64;
        let mut hasher = BlockHasher::new(len);
        bytes.chunks(piece).for_each(|piece| hasher.update(piece));
        let whole = format!("{:016x}", xxh3_64(bytes));
        Blocks::parse(&hasher.finish(), &whole, len).unwrap()
    }

    #[test]
    fn only_what_is_touched_is_checked_and_only_once() {
        let good: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let mut bad = good.clone();
        bad[70_000] ^= 1;
        for piece in [1000, 65_536, 300_000] {
            let sums = blocks(&good, piece);
            assert_eq!(sums.sums.len(), 4);
            assert!(sums.check(&bad, 0..65_536).is_ok());
            assert!(sums.check(&bad, 65_536..65_536).is_ok(), "no byte is read");
            assert!(sums.check(&bad, 131_072..200_000).is_ok());
            for range in [65_535..65_537, 100_000..100_001, 0..200_000] {
                let why = sums.check(&bad, range).unwrap_err();
                assert!(
                    why.starts_with("the 65536 bytes from 65536 are not"),
                    "{why}"
                );
            }
            assert!(sums.check(&good, 0..200_000).is_ok());
            assert!(
                sums.check(&bad, 0..200_000).is_ok(),
                "they are right already"
            );
            assert!(sums.check(&good, 0..200_001).is_err());
            assert!(sums.check(&good[1..], 0..5).is_err());
        }
        assert!(blocks(&[], 1).check(&[], 0..0).is_ok());
    }

    #[test]
    fn checksums_fit_their_file() {
        let (one, two) = ("0123456789abcdef", "0123456789abcdef0000000000000001");
        let sums = |text: &str, len| Blocks::parse(text, one, len).map(|blocks| blocks.sums);
        assert_eq!(sums("", 9), Some(vec![0x0123_4567_89ab_cdef]));
        assert_eq!(sums("", 9 << 30), sums("", 0), "the file's own serves");
        assert_eq!(
            sums(two, LEAST_LEN + 1),
            Some(vec![0x0123_4567_89ab_cdef, 1])
        );
        for (text, len) in [(two, 9), (one, LEAST_LEN + 1), (&two[1..], LEAST_LEN + 1)] {
            assert!(sums(text, len).is_none(), "{text} of {len}");
        }
        assert!(sums(&two.replace('b', "g"), LEAST_LEN + 1).is_none());
        assert!(Blocks::parse("", "", 9).is_none() && sums(two, u64::MAX).is_none());
    }

    #[test]
    fn a_file_of_one_block_needs_no_others() {
        for len in [0, 1, 65_536] {
            let file = vec![7; len];
            let mut hasher = BlockHasher::new(len as u64);
            hasher.update(&file);
            assert_eq!(hasher.finish(), "");
            let sums = blocks(&file, 1000);
            assert!(sums.check(&file, 0..len).is_ok());
            let mut bad = file.clone();
            bad.iter_mut().take(1).for_each(|byte| *byte = 8);
            let fresh = blocks(&file, 1000);
            assert_eq!(fresh.check(&bad, 0..len).is_err(), len > 0);
        }
    }

    #[test]
    fn large_files_have_few_blocks() {
        for (len, expected) in [(0, 1 << 16), (1 << 28, 1 << 16), (3 << 30, 1 << 20)] {
            assert_eq!(block_len(len), expected);
            assert!(len.div_ceil(block_len(len)) <= MOST);
        }
    }
}
