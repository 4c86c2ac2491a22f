//! CLIP's byte-pair tokens (Radford et al., 2021, s. 2.4), by `tokenizer.json` or, where a checkpoint is
//! older than that file, by `vocab.json` and `merges.txt`.
//!
//! Texts are brought to lower case and split into words, numbers and signs; each piece is written in bytes,
//! and pairs are merged in the order in which they were learnt.

use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::error::{Error, Result};
use crate::text::tokenize::Tokenizer;

/// The token before a text.
const START: &str = "<|startoftext|>";

/// The token behind it.
const END: &str = "<|endoftext|>";

/// What is one piece: endings, letters, a digit, other signs.
const PIECES: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// CLIP's tokenizer, and the number of the token that ends a text.
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    end: u32,
}

impl ClipTokenizer {
    /// Reads the tokenizer in `folder`. Texts will be cut off after `max_tokens`, with begin and end.
    ///
    /// # Errors
    /// [`Error::Io`] if there is none, [`Error::Tokenizer`] if it is not understood.
    pub fn open(folder: &Path, max_tokens: usize) -> Result<Self> {
        let whole = folder.join("tokenizer.json");
        let tokenizer = if whole.is_file() {
            Tokenizer::open(&whole, max_tokens)?
        } else {
            let path = folder.join("vocab.json");
            let inner = by_parts(folder)?;
            Tokenizer::new(inner, &path, max_tokens)?
        };
        let end = tokenizer.number(END)?;
        Ok(Self { tokenizer, end })
    }

    /// The number of the token that ends a text.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The token numbers of a text, begin and end marked.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizer cannot express the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(text)
    }

    /// The end of a text that is cut off; empty if nothing is.
    ///
    /// # Errors
    /// As for [`encode`](Self::encode).
    pub fn cut_off<'a>(&self, text: &'a str) -> Result<&'a str> {
        self.tokenizer.cut_off(text)
    }

    /// The number of the token written so, to fill texts up with.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if there is none.
    pub fn number(&self, token: &str) -> Result<u32> {
        self.tokenizer.number(token)
    }

    /// The same as what splits texts for a sentence encoder.
    pub(in crate::text) fn into_inner(self) -> Tokenizer {
        self.tokenizer
    }
}

/// The tokenizer that `vocab.json` and `merges.txt` describe.
fn by_parts(folder: &Path) -> Result<tokenizers::Tokenizer> {
    let (vocabulary, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
    for path in [&vocabulary, &merges] {
        std::fs::File::open(path).map_err(Error::io("read", path))?;
    }
    let failed = |source| Error::Tokenizer {
        path: vocabulary.clone(),
        source,
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let model = BPE::from_file(&text(&vocabulary), &text(&merges))
        .unk_token(END.to_owned())
        .end_of_word_suffix("</w>".to_owned())
        .build()
        .map_err(failed)?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    let spaces = Replace::new(
        tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".into()),
        " ",
    );
    let normalizers = Normalizers::new(vec![
        NormalizerWrapper::NFC(NFC),
        NormalizerWrapper::Replace(spaces.map_err(failed)?),
        NormalizerWrapper::Lowercase(Lowercase),
    ]);
    tokenizer
        .with_normalizer(Some(normalizers))
        .map_err(failed)?;
    let pieces = Split::new(
        SplitPattern::Regex(PIECES.into()),
        SplitDelimiterBehavior::Removed,
        true,
    );
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![
        PreTokenizerWrapper::Split(pieces.map_err(failed)?),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
    ])));
    tokenizer
        .add_special_tokens([START, END].map(|token| AddedToken::from(token, true)))
        .map_err(failed)?;
    let number = |token: &str| {
        let missing = || failed(format!("there is no token {token}").into());
        tokenizer.token_to_id(token).ok_or_else(missing)
    };
    let (start, end) = (number(START)?, number(END)?);
    tokenizer.with_post_processor(Some(
        RobertaProcessing::new((END.to_owned(), end), (START.to_owned(), start))
            .trim_offsets(false)
            .add_prefix_space(false),
    ));
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::Fixture;

    #[test]
    fn tokens_are_the_references_by_either_file() {
        let fixture = Fixture::open("clip");
        let texts: Vec<String> = fixture.json("texts.json");
        let expected: Vec<Vec<u32>> = fixture.ids("tokens").to_vec2().unwrap();
        let parts = tempfile::tempdir().unwrap();
        for file in ["vocab.json", "merges.txt"] {
            std::fs::copy(fixture.folder().join(file), parts.path().join(file)).unwrap();
        }
        for folder in [fixture.folder(), parts.path()] {
            let tokenizer = ClipTokenizer::open(folder, 77).unwrap();
            for (text, expected) in texts.iter().zip(&expected) {
                let mut found = tokenizer.encode(text).unwrap();
                assert_eq!(found.last(), Some(&tokenizer.end()));
                found.resize(77, tokenizer.end());
                assert_eq!(found, *expected, "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_the_end_of_the_text() {
        let fixture = Fixture::open("clip");
        let tokenizer = |tokens| ClipTokenizer::open(fixture.folder(), tokens).unwrap();
        let text = "a Red fox in the snow, \u{c4}rger at night";
        let count = tokenizer(77).encode(text).unwrap().len();
        assert_eq!(tokenizer(count).cut_off(text).unwrap(), "");
        let mut rest = String::new();
        for tokens in (3..count).rev() {
            let short = tokenizer(tokens);
            let found = short.cut_off(text).unwrap();
            assert!(
                text.ends_with(found) && found.len() >= rest.len(),
                "{found:?} {rest:?}"
            );
            rest = found.to_owned();
        }
        assert!(
            rest.ends_with("Red fox in the snow, \u{c4}rger at night"),
            "{rest}"
        );
    }
}
