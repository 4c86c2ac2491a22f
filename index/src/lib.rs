//! An embedded index of prompts: vectors and their graph, words, and the images of each prompt.

mod check;
mod db;
mod error;
mod filter;
pub mod fusion;
mod id;
mod keyword;
mod record;

pub use crate::check::{Damage, Report, check};
pub use crate::db::{
    BuildOptions, Bytes, Encoder, Index, Phase, SearchRequest, Stats, VectorOptions, Writer,
};
pub use crate::error::{Error, Result};
pub use crate::filter::Filter;
pub use crate::id::{EntryId, ParsePromptIdError, PromptId, Scored};
pub use crate::keyword::KeywordQuery;
pub use crate::record::{Hit, ImageRecord, Scores};

/// Candidates that a graph walk keeps when a search does not say (or `k`, where that is more).
pub const DEFAULT_EF: usize = 128;
