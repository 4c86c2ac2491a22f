//! An embedded index of prompts: find the prompts whose vectors are near, whose words match, or
//! both, together with the images that were made from them.
//!
//! An index is a folder that can be moved as a whole. A [`Writer`] makes it or adds to it, all or
//! nothing; [`delete`] and [`compact`] take away. An [`Index`] opens it in milliseconds, from
//! memory-mapped files, shows the commit that it was opened at for as long as it lives, and
//! searches:
//! - [`Index::vector_search`] by cosine, walking a graph of neighbours (HNSW), or exactly;
//! - [`Index::keyword_search`] by BM25;
//! - [`Index::search`] by either or both, fused ([`fusion`]), giving whole
//!   [`Hit`]s.
//!
//! A [`Filter`] narrows each of them down to prompts, or to prompts with certain images.
//! [`check`] reads every byte against its checksum. `docs/format.md` describes the files.
//!
//! This crate knows bytes, `&[f32]`, words and ids. Where vectors come from is not its business,
//! beyond the name of their [`Encoder`].
//!
//! ```
//! use std::ops::ControlFlow;
//! use unprompt_index::{BuildOptions, Encoder, Index, KeywordQuery, SearchRequest, Writer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let dir = folder.path().join("prompts.idx");
//! let encoder = Encoder { name: "compass".into(), digest: "1".into(), dim: 2 };
//!
//! let mut writer = Writer::create(&dir, encoder, BuildOptions::default())?;
//! writer.push("a red fox in the snow", &[1.0, 0.0], vec![])?;
//! writer.push("a lighthouse at dusk", &[0.0, 1.0], vec![])?;
//! writer.commit(&mut |_| ControlFlow::Continue(()))?;
//!
//! let index = Index::open(&dir)?;
//! let hits = index.search(&SearchRequest {
//!     vector: Some(vec![0.6, 0.8]),
//!     keywords: Some(KeywordQuery::Text("lighthouses".into())),
//!     ..SearchRequest::default()
//! })?;
//! assert_eq!(hits[0].prompt, "a lighthouse at dusk");
//! assert_eq!(hits[0].scores.vector, Some(0.8));
//! # Ok(())
//! # }
//! ```

// A module imports only from those above it, which a test of `tests/it/layers.rs` holds it to.

mod blocks;
mod error;
mod id;
mod mmap;
mod panics;
mod storage;
mod wire;

mod best;

mod distance;
mod vector;

mod folder;
mod record;

mod keyword;

mod images;

mod filter;

pub mod fusion;

mod deleted;
mod given;
mod manifest;
mod segment;

mod db;

mod check;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use crate::check::{Damage, Report, check, check_observed};
pub use crate::db::{
    BuildOptions, Bytes, Deletion, DeletionReport, Encoder, Index, Phase, SearchRequest, Stats,
    VectorOptions, Writer, compact, delete, delete_observed,
};
pub use crate::error::{Error, Result};
pub use crate::filter::Filter;
pub use crate::fusion::Fusion;
pub use crate::id::{EntryId, ParsePromptIdError, PromptId, Scored};
pub use crate::keyword::KeywordQuery;
pub use crate::panics::catch_panic;
pub use crate::record::{Hit, ImageRecord, Ranks, Scores};
pub use crate::storage::{Disk, Place, Storage};
pub use crate::vector::element::Element;

/// Candidates that a graph walk keeps when a search does not say, or as many as are wanted, where
/// that is more.
pub const DEFAULT_EF: usize = 128;
