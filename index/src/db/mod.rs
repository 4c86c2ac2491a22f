//! The database.
mod options;
use std::ops::ControlFlow;
use std::path::Path;

pub use self::options::{BuildOptions, Bytes, Encoder, Phase, SearchRequest, Stats, VectorOptions};
use crate::error::Result;
use crate::filter::Filter;
use crate::id::{EntryId, PromptId, Scored};
use crate::keyword::KeywordQuery;
use crate::record::{Hit, ImageRecord};

/// Builds a new index.
pub struct Writer {}

#[allow(unused_variables)]
impl Writer {
    /// Starts a new index at `dir`.
    pub fn create(dir: &Path, encoder: Encoder, options: BuildOptions) -> Result<Writer> {
        unimplemented!()
    }
    /// Whether `prompt` has been pushed.
    pub fn contains(&self, prompt: &str) -> bool {
        unimplemented!()
    }
    /// Adds a prompt with its vector and images.
    pub fn push(
        &mut self,
        prompt: &str,
        vector: &[f32],
        images: Vec<ImageRecord>,
    ) -> Result<PromptId> {
        unimplemented!()
    }
    /// Adds images to a prompt that has been pushed.
    pub fn add_images(&mut self, prompt: &str, images: Vec<ImageRecord>) -> Result<()> {
        unimplemented!()
    }
    /// Prompts so far.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// Whether nothing has been pushed.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }
    /// Makes the index, all or nothing.
    pub fn commit(self, progress: &mut dyn FnMut(Phase) -> ControlFlow<()>) -> Result<Stats> {
        unimplemented!()
    }
}

/// An opened index.
pub struct Index {}

#[allow(unused_variables)]
impl Index {
    /// Opens the index at `dir`.
    pub fn open(dir: &Path) -> Result<Index> {
        unimplemented!()
    }
    /// The encoder of its vectors.
    pub fn encoder(&self) -> &Encoder {
        unimplemented!()
    }
    /// Prompts.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// Whether it holds no prompt.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }
    /// Counts and sizes.
    pub fn stats(&self) -> Result<Stats> {
        unimplemented!()
    }
    /// Nearest by cosine.
    pub fn vector_search(
        &self,
        query: &[f32],
        options: &VectorOptions,
        filter: Option<&Filter>,
    ) -> Result<Vec<Scored>> {
        unimplemented!()
    }
    /// Best by BM25.
    pub fn keyword_search(
        &self,
        query: &KeywordQuery,
        k: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Scored>> {
        unimplemented!()
    }
    /// By vector, keywords, or both.
    pub fn search(&self, request: &SearchRequest) -> Result<Vec<Hit>> {
        unimplemented!()
    }
    /// The cosine of an entry to `query`.
    pub fn cosine(&self, entry: EntryId, query: &[f32]) -> Result<f32> {
        unimplemented!()
    }
    /// The vector of an entry.
    pub fn vector(&self, entry: EntryId) -> Result<Vec<f32>> {
        unimplemented!()
    }
    /// The prompt of an entry.
    pub fn prompt(&self, entry: EntryId) -> Result<String> {
        unimplemented!()
    }
    /// The lasting name of an entry.
    pub fn id(&self, entry: EntryId) -> Result<PromptId> {
        unimplemented!()
    }
    /// The entry of a prompt id.
    pub fn find(&self, id: &PromptId) -> Result<Option<EntryId>> {
        unimplemented!()
    }
    /// The first `limit` images of an entry, and how many there are.
    pub fn images(
        &self,
        entry: EntryId,
        filter: Option<&Filter>,
        limit: usize,
    ) -> Result<(Vec<ImageRecord>, usize)> {
        unimplemented!()
    }
    /// Every entry, in the order of their building.
    pub fn entries(&self) -> impl Iterator<Item = EntryId> + '_ {
        std::iter::empty()
    }
}
