//! The joint heads (docs/method.md): an embedding, and which vocabulary words occur.

pub mod joint;
