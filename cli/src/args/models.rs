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
    /// Fetch a model and verify it: of weights, only safetensors.
    Pull {
        /// Its name in `models list`, or OWNER/NAME of any repository of the Hugging Face hub.
        name: String,

        /// The branch, tag or commit of a repository.
        #[arg(long, default_value = "main", env = "UNPROMPT_REVISION", value_parser = revision)]
        revision: String,
    },
    /// Print the folder of a model that is on this machine.
    Path {
        /// Its name in `models list`.
        name: String,
    },
}

/// A branch, tag or commit, which becomes part of an address.
fn revision(text: &str) -> Result<String, &'static str> {
    let usual = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.chars().all(usual) && !text.contains("..") && !text.is_empty() {
        Ok(text.to_owned())
    } else {
        Err("a branch, tag or commit is wanted")
    }
}
