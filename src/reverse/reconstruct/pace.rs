//! How long a round takes, so that none is begun without the time for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the last round took, whoever ran it; nothing before the first.
#[derive(Debug, Default)]
pub(in crate::reverse) struct Pace {
    nanoseconds: AtomicU64,
}

impl Pace {
    /// Whether a round fits into a time. A time that is refused makes the next round a tenth quicker than it is
    /// remembered, so that one slow round does not stand for ever.
    pub(super) fn fits(&self, time: Duration) -> bool {
        let last = self.nanoseconds.load(Ordering::Relaxed);
        let fits = Duration::from_nanos(last) < time;
        if !fits {
            self.nanoseconds.store(last - last / 10, Ordering::Relaxed);
        }
        fits
    }

    /// A round took so long.
    pub(super) fn took(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.store(nanoseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_tried_again_after_a_slow_one() {
        let (pace, time) = (Pace::default(), Duration::from_millis(10));
        assert!(!pace.fits(Duration::ZERO));
        assert!(pace.fits(time));
        pace.took(time * 2);
        let refused = (0..100).take_while(|_| !pace.fits(time)).count();
        assert!((6..9).contains(&refused), "{refused}");
    }
}
