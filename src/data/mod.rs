//! What goes in: prompts and images from files, and the words that prompts are made of.

mod columns;
mod lines;
mod parquet;
pub mod read;
pub mod records;
pub mod row;
pub mod source;
mod table;
#[cfg(test)]
mod tests;
pub mod vocabulary;
