//! What stands on top of an image encoder: the joint heads (docs/method.md), which predict an embedding
//! and words, and those of the attribute checker.

pub mod attributes;
pub mod joint;
