//! Texts to token numbers, by the `tokenizer.json` that a model is published with.
//!
//! That file also fixes truncation and padding, for the model's makers' own use (all-MiniLM-L6-v2's
//! pads everything to 128 tokens). Both are overridden here: a text has as many tokens as it has, up to
//! a maximum.

use std::path::{Path, PathBuf};

use tokenizers::{PaddingParams, PostProcessor, TruncationParams};

use crate::error::{Error, Result};
use crate::files;

/// Splits texts into tokens.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
}

impl Tokenizer {
    /// Reads the tokenizer file at `path`. Texts will be cut off after `max_tokens` tokens, with the
    /// ones that mark begin and end among them.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, [`Error::Tokenizer`] if it is not understood.
    pub fn open(path: &Path, max_tokens: usize) -> Result<Self> {
        let bytes = files::read(path)?;
        let failed = |source| Error::Tokenizer {
            path: path.to_owned(),
            source,
        };
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(failed)?;
        Self::new(inner, path, max_tokens)
    }

    /// As [`open`](Self::open), of a tokenizer that has been put together from the file at `path`.
    pub(super) fn new(
        mut inner: tokenizers::Tokenizer,
        path: &Path,
        max_tokens: usize,
    ) -> Result<Self> {
        let failed = |source| Error::Tokenizer {
            path: path.to_owned(),
            source,
        };
        let marks = inner
            .get_post_processor()
            .map_or(0, |it| it.added_tokens(false));
        if max_tokens <= marks {
            return Err(failed(
                format!("texts of {max_tokens} tokens have no room beside {marks} marks").into(),
            ));
        }
        let truncation = TruncationParams {
            max_length: max_tokens,
            ..Default::default()
        };
        inner.with_truncation(Some(truncation)).map_err(failed)?;
        inner.with_padding(None::<PaddingParams>);
        Ok(Self {
            inner,
            path: path.to_owned(),
        })
    }

    /// The number of the token written so.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if there is none.
    pub fn number(&self, token: &str) -> Result<u32> {
        let missing = || Error::Tokenizer {
            path: self.path.clone(),
            source: format!("there is no token {token}").into(),
        };
        self.inner.token_to_id(token).ok_or_else(missing)
    }

    /// The text that token numbers stand for, without marks of begin and end.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let text = self.inner.decode(ids, true);
        text.map_err(|source| self.failed(source))
    }

    /// The token numbers of a text, begin and end marked; an empty text has these two marks alone.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot express the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, true);
        let encoding = encoding.map_err(|source| self.failed(source))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The end of a text that is cut off; empty if nothing is.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Self::encode).
    pub fn cut_off<'a>(&self, text: &'a str) -> Result<&'a str> {
        let encoding = self
            .inner
            .encode(text, true)
            .map_err(|it| self.failed(it))?;
        if encoding.get_overflowing().is_empty() {
            return Ok("");
        }
        // Marks stand at 0.
        let ends = encoding.get_offsets().iter().map(|(_, end)| *end);
        let end = text.ceil_char_boundary(ends.max().unwrap_or_default());
        Ok(text[end..].trim())
    }

    fn failed(&self, source: tokenizers::Error) -> Error {
        Error::Tokenizer {
            path: self.path.clone(),
            source,
        }
    }
}
