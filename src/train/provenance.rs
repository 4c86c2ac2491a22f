//! What the `provenance.json` of a training run says: what made the weights beside it, and how.

use serde::Serialize;

use super::fit::{FitOptions, FitOutcome};

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
