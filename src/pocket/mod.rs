//! The pocket world: prompts from a grammar and images drawn from their meaning.
//!
//! No weights or images can be fetched on many machines, so this world in the small runs every
//! line of the real path. A [`Meaning`] is what an image shows; the [`grammar`] words it in the
//! manner of DiffusionDB prompts (synonyms, clause orders, modifiers that leave no trace in the
//! image); the [`render`]er draws it as a 64 x 64 picture. Splits are by meaning
//! ([`Split::of`]), so near-duplicate prompts never stand on both sides.

pub mod grammar;
pub mod meaning;
pub mod render;
pub mod split;
pub mod world;

pub use meaning::Meaning;
pub use split::Split;
pub use world::{PocketPrompt, Prompts};
