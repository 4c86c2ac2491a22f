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
    /// Add prompts and images to an index; prompts that are there already gain the images.
    Add(AddArgs),
    /// Delete prompts and images from an index. No image file is touched.
    Delete(DeleteArgs),
    /// Counts, sizes, encoder and generation of an index.
    Stats {
        /// The index's folder.
        #[arg(value_name = "INDEX")]
        index: PathBuf,
        /// Print one JSON object.
        #[arg(long, env = "UNPROMPT_JSON", value_parser = flag())]
        json: bool,
    },
    /// Merge all segments of an index into one, and drop what is deleted.
    Compact {
        /// The index's folder.
        #[arg(value_name = "INDEX")]
        index: PathBuf,

        /// Worker threads; 0 takes every core.
        #[arg(long, value_name = "N", default_value_t = 0, env = "UNPROMPT_THREADS")]
        threads: usize,
    },
    /// Write prompts, vectors and images as a Parquet file, for other tools or as a source.
    Export {
        /// The index's folder.
        #[arg(value_name = "INDEX")]
        index: PathBuf,

        /// The file to write.
        #[arg(long, value_name = "FILE.parquet", env = "UNPROMPT_OUT")]
        out: PathBuf,
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
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// The new index's folder. Stopped half-way, the same command goes on where it was.
    #[arg(long, value_name = "INDEX", env = "UNPROMPT_OUT")]
    pub(crate) out: PathBuf,
}

/// Arguments of `index add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The index's folder.
    #[arg(value_name = "INDEX")]
    pub(crate) index: PathBuf,

    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// Forget the image files in the folders among the sources that are not there any more, deleted or moved.
    #[arg(long, env = "UNPROMPT_PRUNE", value_parser = flag())]
    pub(crate) prune: bool,

    /// Add image files that carry no prompt, too, with what `reverse` answers from the prompts that were there
    /// before. They are marked: predicted:* filters them, and predicted:>0.5 those it is surer of.
    #[arg(long, env = "UNPROMPT_PREDICT", value_parser = flag())]
    pub(crate) predict: bool,

    /// The model that predicts: a built-in one, a folder, or clip:DIR for a CLIP as it is published.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "vit",
        env = "UNPROMPT_MODEL"
    )]
    pub(crate) model: String,
}

/// Arguments of `index delete`.
#[derive(Debug, Args)]
#[command(
    override_usage = "unprompt index delete [OPTIONS] <INDEX> <--id <ID>...|--filter <EXPR>>"
)]
pub(crate) struct DeleteArgs {
    /// The index's folder.
    #[arg(value_name = "INDEX")]
    pub(crate) index: PathBuf,

    #[command(flatten)]
    pub(crate) what: DeletionArgs,

    /// Print one JSON object.
    #[arg(long, env = "UNPROMPT_JSON", value_parser = flag())]
    pub(crate) json: bool,
}

/// What to delete, in one way or the other.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct DeletionArgs {
    /// Ids of prompts, as `search --json` prints them; their images go with them.
    #[arg(long = "id", value_name = "ID", num_args = 1..)]
    pub(crate) ids: Vec<String>,

    /// What a search with this filter would list: images and the prompts left without any, or
    /// whole prompts if it says nothing of images. '*' for all.
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
}

/// Where prompts come from, and how they are embedded.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Prompts: a file .txt (one a line), .jsonl, .csv, .tsv or .parquet (DiffusionDB's metadata
    /// and what `index export` wrote, too), a folder of such files, images that carry their prompt or a folder of
    /// them, DiffusionDB's folder, one of its parts or part-*.zip, a folder
    /// of captions with vectors as clip-retrieval writes it, or pocket:N for N prompts of the
    /// pocket world. docs/sources.md lists what is read from each.
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<Source>,

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
