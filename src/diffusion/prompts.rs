//! Prompts to what a U-Net attends to.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, IndexOp, Tensor};
use xxhash_rust::xxh3::xxh3_64;

use super::context::Context;
use crate::error::{Error, Result};
use crate::text::clip::ClipTextTower;
use crate::text::clip::tokenizer::ClipTokenizer;
use crate::text::{EncoderIdentity, SentenceEncoder, TokenStates};

/// What encodes a model's prompts.
pub(super) enum Prompts {
    /// A sentence encoder, which the model does not hold: the states of a text's tokens, as many as it has.
    Sentences(EncoderIdentity),
    /// CLIP's text tower, as Stable Diffusion holds it: every text is filled up to one length.
    Clip(Box<ClipPrompts>),
}

/// CLIP's text tower and its tokenizer.
pub(crate) struct ClipPrompts {
    tokenizer: ClipTokenizer,
    tower: ClipTextTower,
    /// What texts are filled up with.
    pad: u32,
    length: usize,
    /// Texts of which it was said that they are longer.
    told: Mutex<HashSet<u64>>,
}

/// Words that go through the tower together.
const WORDS_AT_ONCE: usize = 64;

/// Encoded prompts.
pub(super) enum States {
    Sentences(TokenStates),
    /// (prompts, tokens, dim)
    Clip(Tensor),
}

impl Prompts {
    /// Encodes prompts; `sentences` is the encoder that the model does not hold, where it needs one.
    ///
    /// # Errors
    /// [`Error::OtherEncoder`] if it needs another.
    pub(super) fn states(
        &self,
        texts: &[&str],
        sentences: Option<&SentenceEncoder>,
        device: &Device,
    ) -> Result<States> {
        match (self, sentences) {
            (Self::Clip(clip), _) => {
                clip.warn_of_length(texts)?;
                Ok(States::Clip(clip.states(texts, device)?))
            }
            (Self::Sentences(expected), Some(sentences)) => {
                sentences.check(expected)?;
                let states = sentences.states_with(texts, |_| ControlFlow::Continue(()))?;
                Ok(States::Sentences(states))
            }
            (Self::Sentences(expected), None) => Err(Error::OtherEncoder {
                expected: expected.name.clone(),
                found: "none".into(),
            }),
        }
    }
}

impl ClipPrompts {
    /// Reads tokenizer and tower; `tokenizer` is the folder of the former.
    pub(super) fn new(
        tower: ClipTextTower,
        tokenizer: &Path,
        pad: Option<&str>,
        length: usize,
    ) -> Result<Self> {
        let tokenizer = ClipTokenizer::open(tokenizer, length)?;
        let pad = pad.map(|token| tokenizer.number(token)).transpose()?;
        Ok(Self {
            pad: pad.unwrap_or(tokenizer.end()),
            tokenizer,
            tower,
            length,
            told: Mutex::default(),
        })
    }

    /// Says what of the texts has no place in the tower.
    fn warn_of_length(&self, texts: &[&str]) -> Result<()> {
        for text in texts {
            let cut_off = self.tokenizer.cut_off(text)?;
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if !cut_off.is_empty() && told.insert(xxh3_64(text.as_bytes())) {
                let length = self.length;
                tracing::warn!("the model reads {length} tokens of a prompt, and not: {cut_off}");
            }
        }
        Ok(())
    }

    /// The tokens of texts: (texts, length).
    ///
    /// # Errors
    /// If the tokenizer cannot express a text.
    pub(crate) fn ids(&self, texts: &[&str], device: &Device) -> Result<Tensor> {
        self.filled_up(self.tokens(texts)?, self.length, device)
    }

    /// The tokens of each text, its end the last.
    fn tokens(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        texts.iter().map(|it| self.tokenizer.encode(it)).collect()
    }

    /// The tokens of texts, none longer than `length`, filled up: (texts, length).
    fn filled_up(&self, texts: Vec<Vec<u32>>, length: usize, device: &Device) -> Result<Tensor> {
        let count = texts.len();
        let fill = |mut ids: Vec<u32>| {
            ids.resize(length, self.pad);
            ids
        };
        let all: Vec<u32> = texts.into_iter().flat_map(fill).collect();
        Ok(Tensor::from_vec(all, (count, length), device)?)
    }

    /// Tokens of every text.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The states of texts whose tokens are given, (texts, tokens): (texts, tokens, dim).
    ///
    /// # Errors
    /// If there are more tokens than [`ClipPrompts::length`], or there is no such token.
    pub(crate) fn states_of(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        self.tower.states(ids)
    }

    fn states(&self, texts: &[&str], device: &Device) -> Result<Tensor> {
        Ok(self.states_of(&self.ids(texts, device)?)?)
    }

    /// What begins every text, which is all that no text says, then the mean state of each word's own tokens and
    /// its end: (words + 1, dim).
    ///
    /// The tower looks backwards only, so that what fills a text up does not change what is before it: words are filled up
    /// to the longest of those that go through it together.
    pub(super) fn words(&self, words: &[String], device: &Device) -> Result<Tensor> {
        let mut rows = vec![self.states(&[""], device)?.i((0, 0))?];
        for words in words.chunks(WORDS_AT_ONCE) {
            let texts: Vec<&str> = words.iter().map(String::as_str).collect();
            let tokens = self.tokens(&texts)?;
            let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
            let longest = lengths.iter().copied().max().unwrap_or(0);
            let states = self.states_of(&self.filled_up(tokens, longest, device)?)?;
            for (place, length) in lengths.into_iter().enumerate() {
                rows.push(states.i(place)?.narrow(0, 1, length - 1)?.mean(0)?);
            }
        }
        Ok(Tensor::stack(&rows, 0)?)
    }
}

impl States {
    /// What the prompts at these places say.
    pub(super) fn context(&self, places: &[usize], device: &Device) -> Result<Context> {
        match self {
            Self::Sentences(states) => {
                let texts: Vec<Vec<f32>> = places.iter().map(|&it| states.text(it)).collect();
                let texts: Vec<&[f32]> = texts.iter().map(Vec::as_slice).collect();
                Ok(Context::padded(&texts, states.dim(), device)?)
            }
            Self::Clip(states) => {
                let own = places.iter().map(|&place| states.i(place));
                let own: Vec<Tensor> = own.collect::<candle_core::Result<_>>()?;
                Ok(Context::even(Tensor::stack(&own, 0)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::text_to_image::TextToImage;
    use crate::parity::{Fixture, device};

    /// Filled up with the end of a text (Stable Diffusion 1) and with an exclamation mark (2).
    #[test]
    fn states_are_the_references() {
        for name in ["sd1", "sd2"] {
            let fixture = Fixture::open(name);
            let folder = fixture.folder().to_str().unwrap();
            let model = TextToImage::open(folder, &device()).unwrap();
            let Prompts::Clip(prompts) = model.prompts() else {
                panic!("no CLIP");
            };
            let texts = ["a red fox, oil painting", "blurry"];
            let ids = prompts.ids(&texts, &device()).unwrap();
            let expected = fixture.ids("text.input_ids");
            assert_eq!(
                ids.to_vec2::<u32>().unwrap(),
                expected.to_vec2::<u32>().unwrap()
            );
            fixture.compare("text.states", &prompts.states(&texts, &device()).unwrap());
        }
    }

    #[test]
    fn words_are_what_they_are_in_texts_of_full_length() {
        let model = TextToImage::open(Fixture::open("sd1").folder().to_str().unwrap(), &device());
        let model = model.unwrap();
        let Prompts::Clip(prompts) = model.prompts() else {
            panic!("no CLIP");
        };
        let words = ["fox".to_owned(), "photorealistic".to_owned()];
        let told = prompts.words(&words, &device()).unwrap();
        for (row, word) in words.iter().enumerate() {
            let states = prompts.states(&[word.as_str()], &device()).unwrap();
            let own = prompts.tokens(&[word.as_str()]).unwrap()[0].len() - 1;
            let expected = states.i(0).unwrap().narrow(0, 1, own).unwrap();
            let expected: Vec<f32> = expected.mean(0).unwrap().to_vec1().unwrap();
            let found: Vec<f32> = told.i(row + 1).unwrap().to_vec1().unwrap();
            let apart = expected.iter().zip(&found).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 1e-5, "{word}");
        }
    }
}
