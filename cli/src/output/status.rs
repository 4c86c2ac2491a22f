//! Exit statuses: 0 fine, 1 failed, 2 wrong usage (clap's), 3 damage found by `check`.

use std::fmt;
use std::io;
use std::process::ExitCode;

use unprompt::error::words;

/// `index check` found damage; it has been reported already.
#[derive(Debug)]
pub(crate) struct DamageFound;

impl fmt::Display for DamageFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the index is damaged")
    }
}

impl std::error::Error for DamageFound {}

/// Some of several inputs failed, each with a line of its own.
#[derive(Debug)]
pub(crate) struct SomeFailed {
    pub(crate) failed: usize,
    pub(crate) total: usize,
}

impl fmt::Display for SomeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} inputs failed", self.failed, self.total)
    }
}

impl std::error::Error for SomeFailed {}

/// How a command ended that did not end well.
pub(crate) struct Failure<'a> {
    error: &'a anyhow::Error,
}

impl<'a> Failure<'a> {
    pub(crate) fn of(error: &'a anyhow::Error) -> Self {
        Self { error }
    }

    /// Prints one clear line and says with which status to exit.
    pub(crate) fn report(&self) -> ExitCode {
        // A reader of ours that has seen enough, such as `head`, is no failure. Errors of other files say which.
        let of_stdout = self.error.downcast_ref::<io::Error>();
        if of_stdout.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        eprintln!("unprompt: {}", line(self.error));
        if self.error.is::<DamageFound>() {
            ExitCode::from(3)
        } else {
            ExitCode::from(1)
        }
    }
}

/// An error with its causes, leaving out those whose words it has said already.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let mut line = words(error.as_ref());
    for cause in error.chain().skip(1) {
        let words = words(cause);
        if !line.contains(&words) {
            line.push_str(": ");
            line.push_str(&words);
        }
    }
    line
}
