//! How a long transfer tells its caller how far it is. The library itself prints nothing.

/// Hears of transfers, one after another. `()` does not listen.
pub trait Progress {
    /// A transfer begins: what it is, in a few words, and its size in bytes where that is known.
    fn begin(&mut self, what: &str, total_bytes: Option<u64>);

    /// So many bytes more have come.
    fn advance(&mut self, bytes: u64);

    /// The transfer that began last is over, well or not.
    fn finish(&mut self);
}

impl Progress for () {
    fn begin(&mut self, _what: &str, _total_bytes: Option<u64>) {}

    fn advance(&mut self, _bytes: u64) {}

    fn finish(&mut self) {}
}
