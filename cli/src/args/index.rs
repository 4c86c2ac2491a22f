//! `index` and its parts.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use unprompt::data::source::Source;

use super::flag;

/// What `index` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum IndexCommand {
    /// Make a new index of prompts.
    Build(BuildArgs),
    /// Counts, sizes, encoder and generation of an index.
    Stats {
        /// The index's folder.
        #[arg(value_name = "INDEX")]
        index: PathBuf,
        /// Print one JSON object.
        #[arg(long, env = "UNPROMPT_JSON", value_parser = flag())]
        json: bool,
    },
    /// Read every byte of an index against its checksum; exit status 3 if something is damaged.
    Check {
        /// The index's folder.
        #[arg(value_name = "INDEX")]
        index: PathBuf,
    },
}

/// Arguments of `index build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Prompts: a file .txt (one a line), .jsonl, .csv, .tsv or .parquet (DiffusionDB's metadata,
    /// too), a folder of such files, DiffusionDB's folder, one of its parts or part-*.zip, a folder
    /// of captions with vectors as clip-retrieval writes it, or pocket:N for N prompts of the
    /// pocket world. docs/sources.md lists what is read from each.
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<Source>,

    /// The new index's folder.
    #[arg(long, value_name = "INDEX", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,

    /// Take no more than N rows of each source.
    #[arg(long, value_name = "N", env = "UNPROMPT_LIMIT")]
    pub(crate) limit: Option<usize>,

    /// Column or key that holds the prompt; without it prompt, text or caption.
    #[arg(long, value_name = "NAME", env = "UNPROMPT_TEXT_COLUMN")]
    pub(crate) text_column: Option<String>,

    /// Texts that the sentence encoder takes together; by default what suits the device.
    #[arg(long, value_name = "N", env = "UNPROMPT_BATCH_SIZE")]
    pub(crate) batch_size: Option<usize>,

    /// Worker threads; 0 takes every core.
    #[arg(long, value_name = "N", default_value_t = 0, env = "UNPROMPT_THREADS")]
    pub(crate) threads: usize,
}
