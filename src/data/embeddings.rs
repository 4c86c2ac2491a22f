//! Folders of prompts that are embedded already, as clip-retrieval writes them
//! (<https://github.com/rom1504/clip-retrieval>): `metadata/metadata_0.parquet` with the captions,
//! and `text_emb/text_emb_0.npy` whose row n is the vector of row n there. Both may lie in the
//! folder itself. Embeddings of images are not read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::folder::{Listing, name};
use super::npy::Npy;
use super::out::Out;
use super::parquet;
use super::read::ReadOptions;
use crate::error::{Error, Result};

/// Reads the folder if it is such a one, and says whether it is.
pub(super) fn read(out: &mut Out<'_>, options: &ReadOptions, listing: &Listing) -> Result<bool> {
    let mut metadata = numbered(listing, "metadata", "parquet")?;
    let vectors = numbered(listing, "text_emb", "npy")?;
    let of_clip_retrieval = |path: &PathBuf| path.parent() != Some(out.path);
    if vectors.is_empty() && !metadata.values().any(of_clip_retrieval) {
        return Ok(false);
    }
    let counts = (metadata.len(), vectors.len());
    let mut pairs = Vec::new();
    for (number, vectors) in vectors {
        match metadata.remove(&number) {
            Some(metadata) => pairs.push((metadata, vectors)),
            None => out.missing(format!(
                "{}: no metadata_*.parquet has its number",
                vectors.display()
            )),
        }
    }
    for metadata in metadata.values() {
        out.missing(format!(
            "{}: no text_emb_*.npy has its number",
            metadata.display()
        ));
    }
    if pairs.is_empty() {
        return Err(Error::Unpaired {
            path: out.path.to_owned(),
            metadata: counts.0,
            vectors: counts.1,
        });
    }
    if let Some(expected) = options.dim {
        // Before any row is given out: this is no damage that could be passed over.
        for vectors in pairs.iter().filter_map(|(_, path)| Npy::open(path).ok()) {
            check_dim(&vectors, expected, "the index holds")?;
        }
    }
    let mut dim = None;
    out.files(pairs, |out, path: PathBuf| {
        let vectors = Npy::open(&path)?;
        let expected = *dim.get_or_insert(vectors.dim());
        check_dim(&vectors, expected, "the file before it holds")?;
        parquet::read(out, options, Some(vectors))
    })?;
    Ok(true)
}

fn check_dim(vectors: &Npy, expected: usize, holder: &'static str) -> Result<()> {
    if vectors.dim() == expected {
        return Ok(());
    }
    Err(Error::VectorDim {
        path: vectors.path().to_owned(),
        found: vectors.dim(),
        expected,
        holder,
    })
}

/// Files `<stem>_<number>.<extension>` of the folder, and of the folder `<stem>` in it, by number.
fn numbered(listing: &Listing, stem: &str, extension: &str) -> Result<BTreeMap<u64, PathBuf>> {
    let mut files = listing.files.clone();
    for folder in listing.folders.iter().filter(|path| name(path) == stem) {
        files.extend(Listing::of(folder)?.files);
    }
    let number = |path: &Path| -> Option<u64> {
        let digits = path
            .file_stem()?
            .to_str()?
            .strip_prefix(stem)?
            .strip_prefix('_')?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| digits.parse().ok()).flatten();
        number.filter(|_| path.extension().is_some_and(|found| found == extension))
    };
    Ok(files
        .into_iter()
        .filter_map(|path| Some((number(&path)?, path)))
        .collect())
}
