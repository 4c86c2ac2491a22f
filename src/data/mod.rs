//! What goes in: prompts and images from files, and the words that prompts are made of.
//!
//! A source is a file or a folder. [`read`] asks which of the known ones it is and gives its rows
//! one by one; `docs/sources.md` lists them. Data flows this way:
//!
//! - `folder` tells what a folder is: `diffusiondb` finds the parts of that dataset, `embeddings`
//!   the pairs of captions and vectors that clip-retrieval writes.
//! - `file` tells what a file is. There is one reader a form: `lines`, `table`, `parquet`,
//!   `exported` (Parquet as `index export` writes it), `part` (DiffusionDB's JSON, zipped or not),
//!   and `npy` for vectors.
//! - `gallery` reads image files: the prompts that they carry.
//! - `columns`, `cell` and `samplers` say what their columns mean.
//! - `out` takes what they find, hands rows on and counts the rest in a [`read::Summary`].
//!
//! [`records`] puts rows together into distinct prompts. [`pairs`] gives images with their prompts, out of the zip
//! files of DiffusionDB's parts (`archives`), each on one side of a [`split`], clusters of near-duplicates
//! ([`leaders`]) together. [`pictures`] finds the image files of an index again.

mod archives;
mod bounded;
mod cell;
mod columns;
mod diffusiondb;
mod embeddings;
pub(crate) mod exported;
mod file;
mod folder;
pub mod gallery;
pub mod leaders;
mod lines;
mod lists;
mod npy;
mod out;
pub mod pairs;
mod parquet;
mod part;
pub mod pictures;
pub mod read;
pub mod records;
pub mod row;
pub(crate) mod samplers;
pub mod source;
pub mod split;
mod summary;
mod table;
#[cfg(test)]
mod tests;
pub mod vocabulary;
