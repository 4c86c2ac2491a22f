//! Long work that has several stages, each with its progress, one after the other.

use std::ops::ControlFlow;

use unprompt::indexing::IndexingEvent;
use unprompt_index::Phase;

use super::progress::{Progress, Unit};
use crate::stop;

/// Shows the stage at work.
pub(crate) struct Stages {
    current: Option<(&'static str, Progress)>,
    quiet: bool,
}

impl Stages {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            current: None,
            quiet,
        }
    }

    /// The stages of an index build.
    pub(crate) fn show(&mut self, event: IndexingEvent) {
        match event {
            IndexingEvent::Embedding(done, total) => self.at("embedding prompts", done, total, ""),
            IndexingEvent::Writing(phase) => self.writing(phase),
        }
    }

    /// The stages of writing an index.
    pub(crate) fn writing(&mut self, phase: Phase) {
        match phase {
            Phase::Copy { done, total } => self.at("copying prompts", done, total, ""),
            Phase::Graph { done, total } => self.at("building the graph", done, total, ""),
            Phase::Keywords => self.at("writing keywords", 0, 1, ""),
            Phase::Images => self.at("writing images", 0, 1, ""),
            _ => self.at("syncing files", 0, 1, ""),
        }
    }

    /// `done` of `total` of the stage `what`; another name begins the next stage.
    pub(crate) fn at(&mut self, what: &'static str, done: usize, total: usize, note: &str) {
        self.progress(what, total as u64, Unit::Count)
            .set(done as u64, note);
    }

    /// [`Stages::at`] of bytes.
    pub(crate) fn bytes(&mut self, what: &'static str, done: u64, total: u64) {
        self.progress(what, total, Unit::Bytes).set(done, "");
    }

    fn progress(&mut self, what: &'static str, total: u64, unit: Unit) -> &mut Progress {
        let current = match self.current.take() {
            Some((current, progress)) if current != what => {
                progress.finish();
                None
            }
            current => current,
        };
        let new = || (what, Progress::new(what, Some(total), unit, self.quiet));
        let current = current.unwrap_or_else(new);
        &mut self.current.insert(current).1
    }

    /// All of it is done.
    pub(crate) fn finish(self) {
        if let Some((_, progress)) = self.current {
            progress.finish();
        }
    }

    /// [`Stages::at`] as the observer of an evaluation.
    pub(crate) fn observe(
        &mut self,
        what: &'static str,
        done: usize,
        total: usize,
    ) -> ControlFlow<()> {
        self.at(what, done, total, "");
        stop::requested()
    }
}
