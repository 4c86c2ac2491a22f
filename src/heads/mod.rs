//! The joint heads (METHOD: "Joint heads"): an embedding, and which vocabulary words occur.

pub mod joint;
