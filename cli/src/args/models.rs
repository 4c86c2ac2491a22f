//! `embed` and `models`.

use clap::{Args, Subcommand};

/// Arguments of `embed`.
#[derive(Debug, Args)]
pub(crate) struct EmbedArgs {
    /// The texts; without any, standard input is read, a text a line.
    pub(crate) texts: Vec<String>,
}

/// What `models` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the known models: size, license, purpose, and where they are on this machine.
    List,
    /// Fetch a model and verify it.
    Pull {
        /// Its name in `models list`.
        name: String,
    },
    /// Print the folder of a model that is on this machine.
    Path {
        /// Its name in `models list`.
        name: String,
    },
}
