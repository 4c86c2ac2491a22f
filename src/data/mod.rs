//! What goes in: prompts and images from files, and the words that prompts are made of.

pub mod source;
pub mod vocabulary;
