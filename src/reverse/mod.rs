//! The main job: image in, prompt out.
//!
//! An image that carries its prompt is answered by it. Otherwise the image encoder predicts the
//! prompt's embedding and words, both are looked up in the index and fused, and the best prompt
//! is the answer, with a confidence that was fitted on validation images.

mod answer;
mod pipeline;

pub use answer::{Phrase, ReverseAnswer, TookMs, Verdict, Word};
pub use pipeline::{ReverseOptions, Reverser};
