//! What a caller chooses: how to build, how to search, and what is told on the way.

use serde::{Deserialize, Serialize};

use crate::filter::Filter;
use crate::fusion::Fusion;
use crate::id::PromptId;
use crate::keyword::KeywordQuery;
use crate::vector::element::Element;

/// The sentence encoder that made the vectors of an index; kept in its MANIFEST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Encoder {
    /// Its name, e.g. `all-MiniLM-L6-v2`.
    pub name: String,
    /// A digest of its weights, so that two encoders of one name are told apart.
    pub digest: String,
    /// Numbers in a vector, 1 to 65 536.
    pub dim: usize,
}

/// How the graph is built. The defaults suit sentence embeddings of a few hundred dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildOptions {
    /// Links a node keeps in the upper layers, 2 to 128; twice as many on layer 0.
    pub m: usize,
    /// Candidates looked at when a node is linked, at least `m`, at most 65 535: more is slower
    /// to build and better to search.
    pub ef_construction: usize,
    /// Threads to build with; 0 takes every core.
    pub threads: usize,
    /// What the numbers of vectors are stored as in what is written, those of prompts that move from
    /// former segments among it. None: as those that are there already, and [`Element::F16`] in a
    /// new index.
    pub element: Option<Element>,
}

impl Default for BuildOptions {
    fn default() -> BuildOptions {
        BuildOptions {
            m: 16,
            ef_construction: 200,
            threads: 0,
            element: None,
        }
    }
}

/// How far [`Writer::commit`](crate::Writer::commit) or [`compact`](crate::compact) has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Prompts of former segments are being copied.
    Copy {
        /// Prompts of the segment copied so far.
        done: usize,
        /// Prompts of the segment in all.
        total: usize,
    },
    /// Vectors are being linked into the graph.
    Graph {
        /// Vectors linked so far.
        done: usize,
        /// Vectors in all.
        total: usize,
    },
    /// The keyword index is being finished.
    Keywords,
    /// The image index is being written.
    Images,
    /// Files are being forced to disk.
    Sync,
}

/// What [`delete`](crate::delete) is to delete.
#[derive(Clone, Debug)]
pub enum Deletion {
    /// These prompts, with all their images.
    Prompts(Vec<PromptId>),
    /// What a search with this filter would list.
    Matching(Filter),
}

/// What [`delete`](crate::delete) has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionReport {
    /// Prompts deleted.
    pub prompts: usize,
    /// Images deleted.
    pub images: usize,
    /// Ids of prompts that are not in the index.
    pub missing: usize,
}

/// How to search by vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorOptions {
    /// Entries wanted.
    pub k: usize,
    /// Candidates the graph walk keeps, see [`DEFAULT_EF`](crate::DEFAULT_EF); more is slower
    /// and finds more.
    pub ef: Option<usize>,
    /// Compares with every vector instead of walking the graph.
    pub exact: bool,
}

impl Default for VectorOptions {
    fn default() -> VectorOptions {
        VectorOptions {
            k: 10,
            ef: None,
            exact: false,
        }
    }
}

/// A whole search: by vector, by keywords, or by both, fused.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// The query as a unit vector.
    pub vector: Option<Vec<f32>>,
    /// A second query by vector, fused with the first: the same after domain adaptation.
    pub kernel: Option<Vec<f32>>,
    /// The query as words.
    pub keywords: Option<KeywordQuery>,
    /// Hits wanted.
    pub k: usize,
    /// Best hits to leave out, for paging.
    pub offset: usize,
    /// Entries that each search (or a listing) is asked for: pages end where these do. `None` means enough to fill the
    /// page, and of several searches 100 at least.
    pub depth: Option<usize>,
    /// Leaves out hits whose score is below: a cosine, a BM25 score or a fused score,
    /// according to what is searched.
    pub min_score: Option<f32>,
    /// As in [`VectorOptions`].
    pub ef: Option<usize>,
    /// As in [`VectorOptions`].
    pub exact: bool,
    /// Which prompts and images may be answered.
    pub filter: Option<Filter>,
    /// Leaves out prompts that are known from predictions alone.
    pub known_only: bool,
    /// How the lists of a search by vectors and by keywords become one.
    pub fusion: Fusion,
    /// Images listed with a hit.
    pub images_per_hit: usize,
    /// Whether hits come with their vectors, as [`Index::vector`](crate::Index::vector) has them.
    pub with_vectors: bool,
}

impl Default for SearchRequest {
    fn default() -> SearchRequest {
        SearchRequest {
            vector: None,
            kernel: None,
            keywords: None,
            k: 10,
            offset: 0,
            depth: None,
            min_score: None,
            ef: None,
            exact: false,
            filter: None,
            known_only: false,
            fusion: Fusion::default(),
            images_per_hit: 10,
            with_vectors: false,
        }
    }
}

/// Counts and sizes of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    /// Prompts.
    pub prompts: usize,
    /// Images.
    pub images: usize,
    /// Prompts that are deleted but still take up space, until [`compact`](crate::compact).
    pub deleted_prompts: usize,
    /// Images that are deleted but still take up space.
    pub deleted_images: usize,
    /// Segments.
    pub segments: usize,
    /// Number of the commit, from 1.
    pub generation: u64,
    /// The encoder of the vectors.
    pub encoder: Encoder,
    /// Sizes on disk.
    pub bytes: Bytes,
}

/// Sizes on disk in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bytes {
    /// Vectors and prompt ids.
    pub vectors: u64,
    /// Graph.
    pub graph: u64,
    /// Keyword index with the prompts' text.
    pub prompts: u64,
    /// Image index.
    pub images: u64,
    /// What says which prompts and images are deleted.
    pub deleted: u64,
    /// All files of all segments, and the MANIFEST.
    pub total: u64,
}
