//! The allocator, and how long it keeps memory that nothing uses.
//!
//! Tensors come and go in megabytes: with the system's allocator a fifth of a training step goes into
//! mapping and clearing pages. mimalloc gives pages back after a second of disuse, and a training step
//! takes about as long; kept for ten, a step is an eighth faster and a process that has become idle still shrinks.

use libmimalloc_sys::mi_option_t;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h, which the crate leaves unnamed.
const PURGE_DELAY: mi_option_t = 15;

/// How long memory stays with the process after its last use, in milliseconds.
const KEPT_MS: std::ffi::c_long = 10_000;

/// Has memory kept for a while, unless `MIMALLOC_PURGE_DELAY` says how long.
pub(crate) fn keep_memory() {
    // SAFETY: an option is a number behind an atomic; any thread may set it at any time.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_meant() {
        // SAFETY: reading an option has no condition.
        #[allow(unsafe_code)]
        let read = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        let by_mimalloc = 1000;
        assert_eq!(read(), by_mimalloc);
        keep_memory();
        assert_eq!(read(), KEPT_MS);
    }
}
