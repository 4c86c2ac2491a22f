//! What a run learns to predict. Embeddings are kept beside it, so that a resumed run need not make them
//! again.

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::checkpoint::write_tensors;
use crate::error::{Error, Result};
use crate::text::SentenceEncoder;

const FINGERPRINT: &str = "unprompt.texts";
const EMBEDDINGS: &str = "embeddings";

/// The embeddings and words of prompts, by number.
#[derive(Clone, Debug)]
pub struct Targets {
    embeddings: Vec<f32>,
    words: Vec<Vec<u32>>,
}

impl Targets {
    /// Puts embeddings (row-major) and words together.
    ///
    /// # Panics
    /// If the numbers of rows differ.
    pub fn new(embeddings: Vec<f32>, words: Vec<Vec<u32>>) -> Self {
        assert!(words.is_empty() || embeddings.len().is_multiple_of(words.len()));
        Self { embeddings, words }
    }

    /// Number of prompts.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is no prompt.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The embedding of a prompt.
    pub fn embedding(&self, index: usize) -> &[f32] {
        let dim = self.embeddings.len() / self.words.len().max(1);
        &self.embeddings[index * dim..][..dim]
    }

    /// Numbers of the vocabulary words that occur in a prompt.
    pub fn words(&self, index: usize) -> &[u32] {
        &self.words[index]
    }
}

/// The embeddings of `texts`, row-major: from the file at `path` if it holds just these, else made
/// anew and written there.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, else what the encoder or the file reports.
pub fn embeddings(
    path: &Path,
    texts: &[&str],
    sentences: &SentenceEncoder,
    observe: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<f32>> {
    let fingerprint = sentences.fingerprint(texts);
    if let Some(kept) = read(path, &fingerprint)? {
        return Ok(kept);
    }
    let made = sentences.embed_with(texts, observe)?;
    let shape = (made.len(), made.dim());
    let made = made.into_vec();
    let tensor = Tensor::from_slice(&made, shape, &Device::Cpu)?;
    let metadata = HashMap::from([(FINGERPRINT.to_owned(), fingerprint)]);
    write_tensors(
        path,
        &HashMap::from([(EMBEDDINGS.to_owned(), tensor)]),
        metadata,
    )?;
    Ok(made)
}

fn read(path: &Path, fingerprint: &str) -> Result<Option<Vec<f32>>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let same = |(_, header): (usize, safetensors::tensor::Metadata)| {
        let found = header.metadata().as_ref()?.get(FINGERPRINT)?;
        (found == fingerprint).then_some(())
    };
    // Embeddings of other texts, and damaged ones, are made anew.
    if safetensors::SafeTensors::read_metadata(&bytes)
        .ok()
        .and_then(same)
        .is_none()
    {
        return Ok(None);
    }
    let tensors =
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|source| {
            Error::Weights {
                path: path.to_owned(),
                source,
            }
        })?;
    match tensors.get(EMBEDDINGS) {
        Some(tensor) => Ok(Some(tensor.flatten_all()?.to_vec1()?)),
        None => Ok(None),
    }
}
