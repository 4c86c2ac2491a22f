//! Prompts into an index, and out of it again: [`Ingest`] builds and adds, [`export`] writes what an
//! index holds for other tools.

mod export;
mod ingest;

use std::ops::ControlFlow;
use std::path::Path;

use unprompt_index::{BuildOptions, Encoder, Phase, Stats};

pub use self::export::export;
pub use self::ingest::{Ingest, Ingested};
use crate::data::row::Row;
use crate::error::{Error, Result};
use crate::text::{EncoderIdentity, SentenceEncoder};

/// How far a build has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexingEvent {
    /// Prompts whose vectors are known so far, of how many.
    Embedding(usize, usize),
    /// The index is being written.
    Writing(Phase),
}

/// Is told how far the work is, and may ask to stop by answering [`ControlFlow::Break`].
pub type Observe<'a> = dyn FnMut(IndexingEvent) -> ControlFlow<()> + 'a;

/// Makes a new index at `dir` of prompts without images.
///
/// # Errors
/// As for [`Ingest`].
pub fn build(
    prompts: impl IntoIterator<Item = String>,
    dir: &Path,
    sentences: &SentenceEncoder,
    observe: &mut Observe<'_>,
) -> Result<Stats> {
    let mut ingest = Ingest::create(dir, sentences, BuildOptions::default())?;
    for prompt in prompts {
        ingest.take(Row {
            prompt,
            ..Row::default()
        })?;
    }
    Ok(ingest.finish(observe)?.stats)
}

/// Digits of a digest that tell encoders of one name apart in a message.
const DIGITS_SHOWN: usize = 12;

/// The index's name for a sentence encoder.
fn index_encoder(identity: &EncoderIdentity) -> Encoder {
    let EncoderIdentity { name, sha256, dim } = identity.clone();
    Encoder {
        name,
        digest: sha256,
        dim,
    }
}

/// Checks that the vectors of an index, which `encoder` made, are of the sentence encoder
/// `identity`.
///
/// # Errors
/// [`Error::EncoderMismatch`] if they are of another.
pub fn check_encoder(encoder: &Encoder, identity: &EncoderIdentity) -> Result<()> {
    if (&encoder.digest, encoder.dim) == (&identity.sha256, identity.dim) {
        return Ok(());
    }
    let told = |name: &str, dim: usize, digest: &str| {
        let digest = digest.get(..DIGITS_SHOWN).unwrap_or(digest);
        format!("{name} ({dim} dimensions, {digest})")
    };
    let Encoder { name, digest, dim } = encoder;
    Err(Error::EncoderMismatch {
        index: told(name, *dim, digest),
        model: told(&identity.name, identity.dim, &identity.sha256),
    })
}
