//! What the `provenance.json` of a training run says: what made the weights beside it, and how.

use std::path::Path;

use serde::Serialize;

use super::checkpoint::write_atomically;
use super::fit::{FitOptions, FitOutcome};
use super::to_json;
use crate::error::Result;

/// The record in the folder of a model; only a run that has ended leaves one.
pub(super) const FILE: &str = "provenance.json";

/// Writes the record of the model in `folder`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the folder cannot be written.
pub(super) fn write(folder: &Path, record: &impl Serialize) -> Result<()> {
    let path = folder.join(FILE);
    write_atomically(&path, to_json(record, &path)?.as_bytes())
}

/// The program and what it was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Origin<'a> {
    command: &'a str,
    commit: &'a str,
    unprompt_version: &'static str,
}

impl<'a> Origin<'a> {
    /// This program, built from `commit` and called by `command`.
    pub(super) fn new(command: &'a str, commit: &'a str) -> Self {
        Self {
            command,
            commit,
            unprompt_version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A loop and its settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Ran {
    seed: u64,
    epochs: usize,
    batch_size: usize,
    learning_rate: f64,
    precision: &'static str,
    steps: usize,
}

impl Ran {
    /// A loop with these settings that came to `outcome`.
    pub(super) fn new(options: &FitOptions, outcome: &FitOutcome) -> Self {
        Self {
            seed: options.seed,
            epochs: options.epochs,
            batch_size: options.batch_size,
            learning_rate: options.learning_rate,
            precision: options.precision.name(),
            steps: outcome.steps,
        }
    }
}
