//! A segment: a folder that is written once and holds all that is known of its prompts. Row
//! numbers run through all of its files: a vector, its node in the graph and its document of words
//! have the same number.

mod read;
mod write;

pub(crate) use self::read::{Segment, Selection, Walk};
pub(crate) use self::write::{SegmentWriter, Step, distinct};

/// Names within the folder.
pub(crate) const VECTORS: &str = "vectors";
pub(crate) const GRAPH: &str = "graph";
pub(crate) const PROMPTS: &str = "prompts";
pub(crate) const IMAGES: &str = "images";
pub(crate) const GIVEN: &str = "given";
