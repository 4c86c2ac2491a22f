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
        let mut all = Vec::with_capacity(texts.len() * self.length);
        for text in texts {
            let mut ids = self.tokenizer.encode(text)?;
            ids.resize(self.length, self.pad);
            all.extend(ids);
        }
        Ok(Tensor::from_vec(all, (texts.len(), self.length), device)?)
    }

    /// Tokens of every text.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The states of texts whose tokens are given, (texts, length): (texts, length, dim).
    ///
    /// # Errors
    /// If the shape is another, or there is no such token.
    pub(crate) fn states_of(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        self.tower.states(ids)
    }

    fn states(&self, texts: &[&str], device: &Device) -> Result<Tensor> {
        Ok(self.states_of(&self.ids(texts, device)?)?)
    }

    /// What begins every text, which is all that no text says, then the mean state of each word's own tokens and
    /// its end: (words + 1, dim).
    pub(super) fn words(&self, words: &[String], device: &Device) -> Result<Tensor> {
        let mut rows = vec![self.states(&[""], device)?.i((0, 0))?];
        for words in words.chunks(WORDS_AT_ONCE) {
            let texts: Vec<&str> = words.iter().map(String::as_str).collect();
            let states = self.states(&texts, device)?;
            for (place, text) in texts.iter().enumerate() {
                let tokens = self.tokenizer.encode(text)?.len();
                rows.push(states.i(place)?.narrow(0, 1, tokens - 1)?.mean(0)?);
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
}
