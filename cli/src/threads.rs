//! Keeps candle from starting a pool of its own beside our workers.
//!
//! candle spreads every element-wise operation over a pool that spins while it waits, sized by
//! `CANDLE_NUM_THREADS`. Our workers are one a core already; with both, a third of the processor
//! goes into spinning. There is no other way to set the size than this variable.

/// Sets `CANDLE_NUM_THREADS` to 1 unless the user has set it. To be called first in `main`.
pub(crate) fn one_thread_per_worker() {
    const NAME: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(NAME).is_none() {
        // SAFETY: changing the environment is sound while no other thread reads it. `main` calls
        // this before anything else, when this thread is the only one.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var(NAME, "1");
        }
    }
}
