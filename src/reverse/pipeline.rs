//! From image bytes to an answer.

use std::time::Instant;

use image::RgbImage;
use unprompt_index::{Filter, Fusion, Index, KeywordQuery, SearchRequest};

use super::answer::{ReverseAnswer, TookMs, Verdict, Word, phrases};
use crate::error::Result;
use crate::image::decode;
use crate::indexing::check_encoder;
use crate::metadata::{self, Embedded};
use crate::predictor::{Prediction, Predictor};

/// Words that are looked up, and listed in an answer, at most.
const MAX_WORDS: usize = 24;

/// Words less likely than this are neither looked up nor listed.
const MIN_PROBABILITY: f32 = 0.1;

/// The constant of reciprocal rank fusion: where one prompt is the right one, small values serve
/// best.
const RRF_K: f32 = 3.0;

/// Settings of a reversal.
#[derive(Clone, Debug)]
pub struct ReverseOptions {
    /// Hits wanted.
    pub k: usize,
    /// Which prompts and images may be answered.
    pub filter: Option<Filter>,
    /// Whether a prompt that the file carries is the answer.
    pub use_metadata: bool,
}

impl Default for ReverseOptions {
    fn default() -> Self {
        Self {
            k: 10,
            filter: None,
            use_metadata: true,
        }
    }
}

/// An index and a model that belong together.
pub struct Reverser {
    index: Index,
    predictor: Predictor,
}

impl Reverser {
    /// Puts them together.
    ///
    /// # Errors
    /// [`Error::EncoderMismatch`](crate::Error::EncoderMismatch) if the model predicts embeddings
    /// of another encoder than the index holds.
    pub fn new(index: Index, predictor: Predictor) -> Result<Self> {
        check_encoder(index.encoder(), predictor.sentence_encoder())?;
        Ok(Self { index, predictor })
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The model.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// The prompt of an image file. `image` is its name in the answer.
    ///
    /// # Errors
    /// [`Error::ImageDecode`](crate::Error::ImageDecode) and its kin if `bytes` are no image that
    /// can be decoded; a file that carries its prompt is answered even then, without hits.
    pub fn reverse(
        &self,
        image: &str,
        bytes: &[u8],
        options: &ReverseOptions,
    ) -> Result<ReverseAnswer> {
        let start = Instant::now();
        let embedded = if options.use_metadata {
            metadata::read(bytes)
        } else {
            None
        };
        let pixels = match (decode::decode(bytes), &embedded) {
            (Ok(pixels), _) => Some(pixels),
            (Err(error), Some(_)) => {
                tracing::warn!(image, %error, "answered without looking at the picture");
                None
            }
            (Err(error), None) => return Err(error),
        };
        let decode = ms(start);
        let mut answer = match pixels {
            Some(pixels) => self.reverse_pixels(image, &pixels, options)?,
            None => ReverseAnswer::nothing(image),
        };
        answer.took_ms.decode = decode;
        if let Some(embedded) = embedded {
            answer_by(&mut answer, embedded);
        }
        Ok(answer)
    }

    /// The prompt of a decoded image, by the model and the index alone.
    ///
    /// # Errors
    /// If the model or the index fails.
    pub fn reverse_pixels(
        &self,
        image: &str,
        pixels: &RgbImage,
        options: &ReverseOptions,
    ) -> Result<ReverseAnswer> {
        let start = Instant::now();
        let predictions = self.predictor.predict(std::slice::from_ref(pixels))?;
        let encode = ms(start);
        let prediction = predictions.into_iter().next().unwrap_or_default();
        let mut answer = self.look_up(image, &prediction, options)?;
        answer.took_ms.encode = encode;
        Ok(answer)
    }

    /// The prompt of an image of which the model has said what it predicts.
    ///
    /// # Errors
    /// If the index fails.
    pub fn look_up(
        &self,
        image: &str,
        prediction: &Prediction,
        options: &ReverseOptions,
    ) -> Result<ReverseAnswer> {
        let start = Instant::now();
        let words = likely_words(prediction);
        let weights = words
            .iter()
            .map(|word| (word.word.clone(), word.probability))
            .collect();
        let mut hits = self.index.search(&SearchRequest {
            vector: Some(prediction.embedding.clone()),
            kernel: prediction.adapted.clone(),
            keywords: Some(KeywordQuery::Weighted(weights)),
            // The answer is the first hit, whether or not it is to be listed.
            k: options.k.max(1),
            filter: options.filter.clone(),
            fusion: Fusion::ReciprocalRank { k: RRF_K },
            ..SearchRequest::default()
        })?;
        let search = ms(start);

        let start = Instant::now();
        let best = hits.first();
        let prompt = best.map(|hit| hit.prompt.clone()).unwrap_or_default();
        let score = best.and_then(|hit| hit.scores.vector);
        // Without a fit nothing is known, and nothing is claimed.
        let fit = self.predictor.confidence();
        let confidence = score.zip(fit).map_or(0.0, |(score, fit)| fit.share(score));
        let phrases = phrases(&prompt, &hits);
        hits.truncate(options.k);
        Ok(ReverseAnswer {
            verdict: if confidence >= 0.5 {
                Verdict::Near
            } else {
                Verdict::Unsure
            },
            confidence,
            phrases,
            prompt,
            words,
            hits,
            took_ms: TookMs {
                search,
                reconstruct: ms(start),
                ..TookMs::default()
            },
            ..ReverseAnswer::nothing(image)
        })
    }
}

/// Makes what the file carries the answer; the hits stay as evidence.
fn answer_by(answer: &mut ReverseAnswer, embedded: Embedded) {
    answer.verdict = Verdict::Embedded;
    answer.prompt.clone_from(&embedded.prompt);
    answer.confidence = 1.0;
    answer.phrases = phrases(&embedded.prompt, &[]);
    answer.embedded = Some(embedded);
}

fn likely_words(prediction: &Prediction) -> Vec<Word> {
    prediction
        .words
        .iter()
        .take(MAX_WORDS)
        .take_while(|(_, probability)| *probability >= MIN_PROBABILITY)
        .map(|(word, probability)| Word {
            word: word.clone(),
            probability: *probability,
        })
        .collect()
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
