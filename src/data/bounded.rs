//! A reader that gives no more bytes than it is allowed.

use std::cell::Cell;
use std::io::{self, Read};

/// Fails once more bytes were read than are left. Who holds the number may raise it again, so that
/// it bounds each record of a file and not the file.
pub(super) struct Bounded<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
    why: &'static str,
}

impl<'a, R: Read> Bounded<'a, R> {
    /// Reads `inner` for `left` bytes; `why` is the error after that.
    pub(super) fn new(inner: R, left: &'a Cell<u64>, why: &'static str) -> Self {
        Self { inner, left, why }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left
            .set(left.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, self.why))?);
        Ok(read)
    }
}
