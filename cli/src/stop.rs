//! Ctrl-C: the first one asks the work to stop cleanly, the second one ends the process.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// The shell's exit status for a process ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// How often somebody who waits for a stop looks for one.
const LOOK: Duration = Duration::from_millis(50);

/// Watches for SIGINT and SIGTERM from now on.
pub(crate) fn watch() {
    let watching = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
        eprintln!("stopping; press Ctrl-C again to stop at once");
    });
    if let Err(error) = watching {
        tracing::warn!(%error, "Ctrl-C will end the process without cleaning up");
    }
}

/// `Break` once a stop was asked for.
pub(crate) fn requested() -> ControlFlow<()> {
    if REQUESTED.load(Ordering::Relaxed) {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// Calls `act` once a stop was asked for, from a thread of its own.
///
/// # Errors
/// If there can be no thread.
pub(crate) fn then(act: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let wait = move || {
        while requested().is_continue() {
            std::thread::sleep(LOOK);
        }
        act();
    };
    std::thread::Builder::new().spawn(wait).map(drop)
}

/// An error once a stop was asked for.
pub(crate) fn check() -> anyhow::Result<()> {
    if requested().is_break() {
        Err(unprompt::Error::Cancelled.into())
    } else {
        Ok(())
    }
}
