//! The main job: image in, prompt out.
//!
//! An image that carries its prompt is answered by it. Otherwise the image encoder predicts the
//! prompt's embedding and words, both are looked up in the index, and what is found is ranked by
//! all that was predicted. The best prompt is the answer or, where it is not likely enough, a prompt put together
//! from the best; with a confidence that was fitted on validation images.

mod answer;
mod candidates;
#[cfg(test)]
mod fixture;
mod pipeline;
mod reconstruct;
mod target;
mod verdict;
pub mod verify;

pub use answer::{Phrase, ReverseAnswer, TookMs, Verdict, Word};
pub use candidates::Candidates;
pub use pipeline::{Opened, ReverseOptions, Reverser, Sources, answer_carried};
pub use reconstruct::Reconstruction;
