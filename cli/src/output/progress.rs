//! Progress on stderr: a bar on a terminal, otherwise a plain line now and then; how long it took, if it
//! did take a while.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// Time from one plain line to the next.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Work that takes this long has a line in the end.
const LONG: Duration = Duration::from_secs(5);

/// How amounts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    Bytes,
}

/// The progress of one piece of work.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    total: Option<u64>,
    unit: Unit,
    start: Instant,
    last_line: Instant,
    quiet: bool,
}

impl Progress {
    /// Begins `what`, of `total` units if that is known.
    pub(crate) fn new(what: &str, total: Option<u64>, unit: Unit, quiet: bool) -> Self {
        let bar = (!quiet && stderr().is_terminal()).then(|| bar(what, total, unit));
        let start = Instant::now();
        Self {
            bar,
            what: what.to_owned(),
            total,
            unit,
            start,
            last_line: start,
            quiet,
        }
    }

    /// `done` units are done in all; `note` is shown behind.
    pub(crate) fn set(&mut self, done: u64, note: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            if !note.is_empty() {
                bar.set_message(note.to_owned());
            }
        } else if !self.quiet && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let of = self
                .total
                .map(|total| format!(" of {}", self.show(total)))
                .unwrap_or_default();
            let space = if note.is_empty() { "" } else { ", " };
            eprintln!("{}: {}{of}{space}{note}", self.what, self.show(done));
        }
    }

    /// All of it is done: says how long it took, if that was long.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let took = self.start.elapsed();
        if !self.quiet && took >= LONG {
            eprintln!("{}: took {:.1} s", self.what, took.as_secs_f64());
        }
    }

    fn show(&self, amount: u64) -> String {
        match self.unit {
            Unit::Count => HumanCount(amount).to_string(),
            Unit::Bytes => HumanBytes(amount).to_string(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let amounts = match (total, unit) {
        (Some(_), Unit::Count) => "{bar:30} {human_pos}/{human_len} {per_sec} {eta} left",
        (Some(_), Unit::Bytes) => "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
        (None, Unit::Count) => "{spinner} {human_pos} {per_sec}",
        (None, Unit::Bytes) => "{spinner} {bytes} {elapsed}",
    };
    let template = format!("{{prefix}} {amounts} {{msg}}");
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(style);
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(150));
    bar
}

/// Shows a model's download.
pub(crate) struct Download {
    pub(crate) quiet: bool,
    pub(crate) progress: Option<Progress>,
    pub(crate) done: u64,
}

impl Download {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            progress: None,
            done: 0,
        }
    }
}

impl unprompt::models::Progress for Download {
    fn begin(&mut self, what: &str, total_bytes: Option<u64>) {
        if !self.quiet && !stderr().is_terminal() {
            eprintln!("fetching {what}");
        }
        self.done = 0;
        self.progress = Some(Progress::new(what, total_bytes, Unit::Bytes, self.quiet));
    }

    fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if let Some(progress) = &mut self.progress {
            progress.set(self.done, "");
        }
    }

    fn finish(&mut self) {
        self.progress = None;
    }
}
