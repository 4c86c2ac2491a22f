//! Prompts into an index: embed each distinct prompt once, then write all or nothing.

use std::ops::ControlFlow;
use std::path::Path;

use unprompt_index::{BuildOptions, Encoder, Index, Phase, Stats, Writer};

use crate::data::records::PromptRecord;
use crate::error::{Error, Result};
use crate::text::{EncoderIdentity, SentenceEncoder};

/// Prompts that are embedded before they are handed to the writer together.
const PROMPTS_AT_ONCE: usize = 8192;

/// How far a build has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexingEvent {
    /// Prompts embedded so far, of how many.
    Embedding(usize, usize),
    /// The index is being written.
    Writing(Phase),
}

/// Makes a new index at `dir` of `records`, which are distinct prompts.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks; nothing is left behind then. Else what the encoder
/// or the index reports.
pub fn build(
    records: Vec<PromptRecord>,
    dir: &Path,
    sentences: &SentenceEncoder,
    options: BuildOptions,
    observe: &mut dyn FnMut(IndexingEvent) -> ControlFlow<()>,
) -> Result<Stats> {
    let mut writer = Writer::create(dir, index_encoder(sentences.identity()), options)?;
    let total = records.len();
    let mut done = 0;
    let mut records = records.into_iter();
    loop {
        let batch: Vec<PromptRecord> = records.by_ref().take(PROMPTS_AT_ONCE).collect();
        if batch.is_empty() {
            break;
        }
        let texts: Vec<&str> = batch.iter().map(|record| record.prompt.as_str()).collect();
        let embeddings = sentences.embed_with(&texts, |count| {
            observe(IndexingEvent::Embedding(done + count, total))
        })?;
        done += batch.len();
        for (record, embedding) in batch.into_iter().zip(embeddings.rows()) {
            writer.push(&record.prompt, embedding, record.images)?;
        }
    }
    Ok(writer.commit(&mut |phase| observe(IndexingEvent::Writing(phase)))?)
}

/// The index's name for a sentence encoder.
fn index_encoder(identity: &EncoderIdentity) -> Encoder {
    let EncoderIdentity { name, sha256, dim } = identity.clone();
    Encoder {
        name,
        digest: sha256,
        dim,
    }
}

/// Checks that the vectors of `index` are of the sentence encoder `identity`.
///
/// # Errors
/// [`Error::EncoderMismatch`] if they are of another.
pub fn check_encoder(index: &Index, identity: &EncoderIdentity) -> Result<()> {
    let Encoder { name, digest, dim } = index.encoder();
    if (name, digest, *dim) == (&identity.name, &identity.sha256, identity.dim) {
        return Ok(());
    }
    Err(Error::EncoderMismatch {
        index: format!("{name} ({dim} dimensions, SHA-256 {digest})"),
        model: format!(
            "{} ({} dimensions, SHA-256 {})",
            identity.name, identity.dim, identity.sha256
        ),
    })
}
