//! Where the readers of the single forms put what they find.

use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unprompt_index::ImageRecord;
use xxhash_rust::xxh3::xxh3_64;

use super::read::{MAX_PROMPT_BYTES, Sink};
use super::row::Row;
use super::summary::{MAX_PROBLEMS, Summary};
use crate::error::{Error, Result, one_line};

/// What is counted over all files of a source.
#[derive(Default)]
pub(super) struct Total {
    left: usize,
    summary: Summary,
    last_problem: String,
    unnamed: usize,
    repeated: usize,
    first_repeated: String,
    /// Hashes of the images' names: the names themselves would take ten times the room.
    names: HashSet<u64>,
}

impl Total {
    /// Nothing yet, of which there shall be no more than `limit` rows.
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            left: limit.unwrap_or(usize::MAX),
            ..Self::default()
        }
    }

    /// What became of the source.
    pub(super) fn into_summary(mut self) -> Summary {
        if self.unnamed > 0 {
            self.summary.notes.push(format!(
                "{} rows describe an image but have no image_name: their settings are left out",
                self.unnamed
            ));
        }
        if self.repeated > 0 {
            self.summary.notes.push(format!(
                "{} images have the name of one before them, the first is {}: of those of one prompt and part the last one stays",
                self.repeated, self.first_repeated
            ));
        }
        self.summary
    }
}

/// Takes the rows of one file, or the files of one folder.
pub(super) struct Out<'a> {
    /// The file or folder that is read.
    pub(super) path: &'a Path,
    total: &'a mut Total,
    sink: &'a mut dyn Sink,
}

impl<'a> Out<'a> {
    /// Hands the rows of `path` to `sink` and counts them in `total`.
    pub(super) fn new(path: &'a Path, total: &'a mut Total, sink: &'a mut dyn Sink) -> Self {
        Self { path, total, sink }
    }

    /// The same for one file of what is read.
    pub(super) fn at<'b>(&'b mut self, path: &'b Path) -> Out<'b> {
        Out::new(path, self.total, self.sink)
    }

    /// Whether no more rows are wanted.
    pub(super) fn is_full(&self) -> bool {
        self.total.left == 0
    }

    /// Runs the reader of one file.
    ///
    /// # Errors
    /// What the reader reports, and [`Error::Unreadable`] if the file has rows and none could be
    /// read.
    pub(super) fn file(
        &mut self,
        path: &Path,
        read: impl FnOnce(&mut Out<'_>) -> Result<()>,
    ) -> Result<()> {
        let before = (self.total.summary.rows, self.total.summary.invalid);
        read(&mut self.at(path))?;
        let Summary { rows, invalid, .. } = self.total.summary;
        if rows == before.0 && invalid > before.1 {
            return Err(Error::Unreadable {
                path: path.to_owned(),
                rows: invalid - before.1,
                last: std::mem::take(&mut self.total.last_problem),
            });
        }
        Ok(())
    }

    /// Runs the reader of each file of a folder. Broken files are reported, and the rest goes on.
    ///
    /// # Errors
    /// [`Error::AllBroken`] if every file is broken and no row was given out.
    pub(super) fn files<T>(
        &mut self,
        files: impl IntoIterator<Item = (PathBuf, T)>,
        mut read: impl FnMut(&mut Out<'_>, T) -> Result<()>,
    ) -> Result<()> {
        let rows_before = self.total.summary.rows;
        let mut any_whole = false;
        let mut broken = Vec::new();
        for (path, file) in files {
            if self.is_full() {
                return Ok(());
            }
            match self.file(&path, |out| read(out, file)) {
                Ok(()) => any_whole = true,
                Err(error) => broken.push(error),
            }
        }
        if !any_whole && self.total.summary.rows == rows_before && !broken.is_empty() {
            return Err(Error::AllBroken {
                path: self.path.to_owned(),
                files: broken.len(),
                source: Box::new(broken.swap_remove(0)),
            });
        }
        for error in &broken {
            self.missing(one_line(error));
        }
        Ok(())
    }

    /// A row with its prompt as it stands in the file; `image` is asked only if there is one.
    pub(super) fn row(
        &mut self,
        line: u64,
        prompt: &str,
        image: impl FnOnce() -> ImageRecord,
    ) -> ControlFlow<()> {
        self.row_with_vector(line, prompt, None, image)
    }

    /// A row whose prompt may have been embedded.
    pub(super) fn row_with_vector(
        &mut self,
        line: u64,
        prompt: &str,
        vector: Option<Vec<f32>>,
        image: impl FnOnce() -> ImageRecord,
    ) -> ControlFlow<()> {
        let prompt = prompt.trim();
        if prompt.is_empty() {
            self.empty();
        } else if prompt.len() > MAX_PROMPT_BYTES {
            self.invalid(line, "the prompt is longer than 1 MiB");
        } else {
            self.total.summary.rows += 1;
            self.total.left = self.total.left.saturating_sub(1);
            let row = Row {
                prompt: prompt.to_owned(),
                image: self.named(image()),
                vector,
            };
            let _ = self.go_on(|sink| sink.row(row));
        }
        if self.is_full() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// The image if it has a name.
    fn named(&mut self, image: ImageRecord) -> Option<ImageRecord> {
        let total = &mut *self.total;
        if image.image_name.is_empty() {
            // Widths and heights alone stand in every list of links to images.
            let settings = image.seed.is_some()
                || image.step.is_some()
                || image.cfg.is_some()
                || image.sampler.is_some();
            total.unnamed += usize::from(settings);
            return None;
        }
        if !total.names.insert(xxh3_64(image.image_name.as_bytes())) {
            if total.repeated == 0 {
                total.first_repeated.clone_from(&image.image_name);
            }
            total.repeated += 1;
        }
        Some(image)
    }

    /// A row without a prompt.
    pub(super) fn empty(&mut self) {
        self.total.summary.empty += 1;
    }

    /// An image file that was read before and has changed.
    pub(super) fn changed(&mut self, name: &str) -> ControlFlow<()> {
        self.go_on(|sink| sink.changed(name))
    }

    /// An image file that carries no prompt.
    pub(super) fn without_prompt(&mut self, image: ImageRecord) -> ControlFlow<()> {
        self.empty();
        self.go_on(|sink| sink.without_prompt(image))
    }

    /// An image file that is as it was when it was read before.
    pub(super) fn unchanged(&mut self) {
        self.total.summary.unchanged += 1;
    }

    /// So many files of so many have been looked at.
    pub(super) fn looked_at(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        self.go_on(|sink| sink.looked_at(done, total))
    }

    fn go_on(&mut self, tell: impl FnOnce(&mut dyn Sink) -> ControlFlow<()>) -> ControlFlow<()> {
        let flow = tell(&mut *self.sink);
        if flow.is_break() {
            // No file after this one is wanted either.
            self.total.left = 0;
        }
        flow
    }

    /// A row that cannot be read.
    pub(super) fn invalid(&mut self, line: u64, why: impl fmt::Display) {
        self.problem(format!("{}:{line}: {why}", self.path.display()));
    }

    /// A file without rows that cannot be read; `why` names it.
    pub(super) fn broken(&mut self, why: String) {
        let named = why.contains(&*self.path.to_string_lossy());
        self.problem(if named {
            why
        } else {
            format!("{}: {why}", self.path.display())
        });
    }

    fn problem(&mut self, problem: String) {
        tracing::info!("cannot be read: {problem}");
        let summary = &mut self.total.summary;
        summary.invalid += 1;
        self.total.last_problem.clone_from(&problem);
        if summary.problems.len() < MAX_PROBLEMS {
            summary.problems.push(problem);
        }
    }

    /// A file that should be there and be whole.
    pub(super) fn missing(&mut self, what: String) {
        self.total.summary.missing.push(what);
    }

    /// Something else to know about the source.
    pub(super) fn note(&mut self, what: String) {
        self.total.summary.notes.push(what);
    }
}
