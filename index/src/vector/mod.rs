//! Vectors and the search among them: [`flat`] is their file, in one [`form`] or another, [`rows`] compares them with queries,
//! [`hnsw`] walks a graph over them, by their [`code`]s.

pub(crate) mod code;
pub(crate) mod element;
pub(crate) mod flat;
pub(crate) mod form;
pub(crate) mod hnsw;
pub(crate) mod rows;

use std::cmp::Ordering;

/// A row and its cosine to the query. Ordered by score, then the smaller row first, so that every
/// search breaks ties alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) score: f32,
    pub(crate) row: u32,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Candidate) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Candidate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Candidate) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}
