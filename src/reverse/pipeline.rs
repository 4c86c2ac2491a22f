//! From image bytes to an answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;
use unprompt_index::{Filter, Fusion, Hit, Index, KeywordQuery, PromptId, SearchRequest};

use super::answer::{ReverseAnswer, Verdict, Word, phrases};
use super::candidates::Candidates;
use super::reconstruct;
use super::reconstruct::Pace;
use super::target::Target;
use super::verdict::{self, Judgement};
use crate::error::Result;
use crate::image::decode;
use crate::indexing::check_encoder;
use crate::metadata::{self, Embedded};
use crate::predictor::confidence::Signs;
use crate::predictor::ranking::Ranking;
use crate::predictor::{Prediction, Predictor};
use crate::text::SentenceEncoder;

/// Words that are looked up, and listed in an answer, at most.
const MAX_WORDS: usize = 24;

/// Words less likely than this are neither looked up nor listed.
const MIN_PROBABILITY: f32 = 0.1;

/// Prompts of each source that are ranked, however many are asked for: their probabilities depend on it.
const DEPTH: usize = 100;

/// The constant of reciprocal rank fusion: where one prompt is the right one, small values serve
/// best.
const RRF_K: f32 = 3.0;

/// What is looked for in the index; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The predicted embedding.
    pub vector: bool,
    /// The adapted embedding, if there is one.
    pub kernel: bool,
    /// The predicted words.
    pub words: bool,
}

impl Sources {
    /// Whatever the model predicts.
    pub const ALL: Self = Self {
        vector: true,
        kernel: true,
        words: true,
    };
}

/// Settings of a reversal.
#[derive(Clone, Debug)]
pub struct ReverseOptions {
    /// Hits wanted.
    pub k: usize,
    /// Which prompts and images may be answered.
    pub filter: Option<Filter>,
    /// What is looked for.
    pub sources: Sources,
    /// Whether a prompt that the file carries is the answer.
    pub use_metadata: bool,
    /// Time to put a prompt together in; none is put together in no time.
    pub reconstruct: Duration,
    /// Whether one is put together even where the best hit is likely enough.
    pub always_reconstruct: bool,
}

impl Default for ReverseOptions {
    fn default() -> Self {
        Self {
            k: 10,
            filter: None,
            sources: Sources::ALL,
            use_metadata: true,
            reconstruct: Duration::from_millis(100),
            always_reconstruct: false,
        }
    }
}

/// An image file, as far as it goes without a model.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What the file carries.
    pub embedded: Option<Embedded>,
    /// Its pixels; none of a damaged file that carries its prompt.
    pub pixels: Option<RgbImage>,
    /// Time that it took, in milliseconds.
    pub took_ms: f64,
}

impl Opened {
    /// Reads what a file carries, if that is wanted, and its pixels. `image` is its name in messages.
    ///
    /// # Errors
    /// [`Error::ImageDecode`](crate::Error::ImageDecode) and its kin if `bytes` are no image that can be decoded and
    /// carry no prompt.
    pub fn read(image: &str, bytes: &[u8], use_metadata: bool) -> Result<Self> {
        let start = Instant::now();
        let embedded = use_metadata.then(|| metadata::read(bytes)).flatten();
        let pixels = match (decode::decode(bytes), &embedded) {
            (Ok(pixels), _) => Some(pixels),
            (Err(error), Some(_)) => {
                tracing::warn!(image, %error, "answered without looking at the picture");
                None
            }
            (Err(error), None) => return Err(error),
        };
        Ok(Self {
            embedded,
            pixels,
            took_ms: ms(start),
        })
    }
}

/// The answer by what a file carries alone, without a model and without hits; `None` if it carries no prompt. `image` is its
/// name in the answer.
pub fn answer_carried(image: &str, bytes: &[u8]) -> Option<ReverseAnswer> {
    let start = Instant::now();
    let mut answer = ReverseAnswer::nothing(image);
    answer_by(&mut answer, metadata::read(bytes)?);
    answer.took_ms.decode = ms(start);
    Some(answer)
}

/// An index and a model that belong together.
pub struct Reverser {
    index: Index,
    predictor: Arc<Predictor>,
    ranking: Option<Ranking>,
    sentences: Option<Arc<SentenceEncoder>>,
    pace: Pace,
}

impl Reverser {
    /// Puts them together. Without a sentence encoder, prompts are found and none is put together.
    ///
    /// # Errors
    /// [`Error::EncoderMismatch`](crate::Error::EncoderMismatch) if the model predicts embeddings
    /// of another encoder than the index holds.
    pub fn new(index: Index, predictor: impl Into<Arc<Predictor>>) -> Result<Self> {
        let predictor = predictor.into();
        check_encoder(index.encoder(), predictor.sentence_encoder())?;
        Ok(Self {
            ranking: predictor.confidence().map(|it| it.ranking),
            index,
            predictor,
            sentences: None,
            pace: Pace::default(),
        })
    }

    /// The same, which puts prompts together where that is better.
    ///
    /// # Errors
    /// [`Error::OtherEncoder`](crate::Error::OtherEncoder) if the model predicts embeddings of another
    /// encoder.
    pub fn with_sentences(mut self, sentences: Arc<SentenceEncoder>) -> Result<Self> {
        sentences.check(self.predictor.sentence_encoder())?;
        self.sentences = Some(sentences);
        Ok(self)
    }

    /// The same, which ranks candidates by this instead of what was fitted to the model.
    pub(crate) fn with_ranking(mut self, ranking: Ranking) -> Self {
        self.ranking = Some(ranking);
        self
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
        let opened = Opened::read(image, bytes, options.use_metadata)?;
        let start = Instant::now();
        let prediction = match &opened.pixels {
            Some(pixels) => {
                let predictions = self.predictor.predict(std::slice::from_ref(pixels))?;
                Some(predictions.into_iter().next().unwrap_or_default())
            }
            None => None,
        };
        let encode = ms(start);
        let mut answer = self.answer(image, opened, prediction.as_ref(), options)?;
        answer.took_ms.encode = encode;
        Ok(answer)
    }

    /// The prompt of an image file that has been opened, and of whose pixels, if there are any, the model has said
    /// what it predicts.
    ///
    /// # Errors
    /// If the index fails.
    pub fn answer(
        &self,
        image: &str,
        opened: Opened,
        prediction: Option<&Prediction>,
        options: &ReverseOptions,
    ) -> Result<ReverseAnswer> {
        // Nothing need be put together where the file has the answer.
        let options = &ReverseOptions {
            reconstruct: match opened.embedded {
                Some(_) => Duration::ZERO,
                None => options.reconstruct,
            },
            ..options.clone()
        };
        let mut answer = match prediction {
            Some(prediction) => self.look_up(image, prediction, options)?,
            None => ReverseAnswer::nothing(image),
        };
        answer.took_ms.decode = opened.took_ms;
        if let Some(embedded) = opened.embedded {
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
        Ok(self.judged(image, prediction, options)?.0)
    }

    /// As [`look_up`](Self::look_up), with what the best hit was judged by.
    pub(crate) fn judged(
        &self,
        image: &str,
        prediction: &Prediction,
        options: &ReverseOptions,
    ) -> Result<(ReverseAnswer, Option<Signs>)> {
        let start = Instant::now();
        let target = self.target(prediction, options);
        let candidates = self.candidates_for(&target, prediction, options)?;
        let ranked = match &self.ranking {
            Some(ranking) => candidates.ranked(ranking),
            None => candidates,
        };
        let signs = verdict::signs(&ranked);
        let Candidates { mut hits, evidence } = ranked;
        if options.k > hits.len().max(DEPTH) {
            self.append_others(&mut hits, prediction, options)?;
        }
        let search = ms(start);

        let start = Instant::now();
        let familiarity = self.predictor.familiarity();
        let is_familiar = familiarity.is_none_or(|it| it.knows(&prediction.embedding));
        let sentences = self.sentences.as_ref();
        let confidence = self.predictor.confidence().filter(|_| is_familiar);
        let judgement = signs
            .zip(confidence)
            .map(|(signs, confidence)| Judgement::new(signs, confidence));
        let is_wanted = is_familiar
            && !options.reconstruct.is_zero()
            && (options.always_reconstruct || judgement.is_some_and(|it| it.gives_way()));
        let reconstruction = match sentences {
            Some(it) if is_wanted && target.sees_embeddings() => {
                let time = (options.reconstruct, &self.pace);
                reconstruct::reconstruct((&hits, &evidence), &target, it, time)?
            }
            _ => None,
        };
        let mut answer = verdict::answer(image, &hits, reconstruction, judgement);
        hits.truncate(options.k);
        answer.words = likely_words(prediction);
        answer.hits = hits;
        answer.took_ms.search = search;
        answer.took_ms.reconstruct = ms(start);
        Ok((answer, signs))
    }

    /// What the index has for a prediction, in the order of reciprocal rank fusion.
    ///
    /// # Errors
    /// If the index fails.
    pub fn candidates(
        &self,
        prediction: &Prediction,
        options: &ReverseOptions,
    ) -> Result<Candidates> {
        self.candidates_for(&self.target(prediction, options), prediction, options)
    }

    fn candidates_for(
        &self,
        target: &Target<'_>,
        prediction: &Prediction,
        options: &ReverseOptions,
    ) -> Result<Candidates> {
        let hits = self.index.search(&SearchRequest {
            // All that any of up to three sources has.
            k: 3 * DEPTH,
            depth: Some(DEPTH),
            with_vectors: true,
            ..request(prediction, options)
        })?;
        Ok(Candidates::new(hits, target))
    }

    fn target<'a>(&'a self, prediction: &'a Prediction, options: &ReverseOptions) -> Target<'a> {
        Target::new(prediction, &self.predictor, options.sources, self.ranking)
    }

    /// Fills `hits` up with what else the index has, in the order of reciprocal rank fusion and with a score of 0.
    fn append_others(
        &self,
        hits: &mut Vec<Hit>,
        prediction: &Prediction,
        options: &ReverseOptions,
    ) -> Result<()> {
        let there: HashSet<PromptId> = hits.iter().map(|hit| hit.id).collect();
        let others = self.index.search(&SearchRequest {
            k: options.k,
            ..request(prediction, options)
        })?;
        let others = others.into_iter();
        for other in others.filter(|other| !there.contains(&other.id)) {
            hits.push(Hit {
                rank: hits.len() + 1,
                score: 0.0,
                ..other
            });
        }
        Ok(())
    }
}

/// What is looked for, in the order of reciprocal rank fusion.
fn request(prediction: &Prediction, options: &ReverseOptions) -> SearchRequest {
    let Sources {
        vector,
        kernel,
        words,
    } = options.sources;
    let weights = || {
        let words = likely_words(prediction).into_iter();
        let weights = words.map(|word| (word.word, word.probability));
        KeywordQuery::Weighted(weights.collect())
    };
    SearchRequest {
        vector: vector.then(|| prediction.embedding.clone()),
        kernel: prediction.adapted.clone().filter(|_| kernel),
        keywords: words.then(weights),
        filter: options.filter.clone(),
        // An answer is no evidence for another.
        known_only: true,
        fusion: Fusion::ReciprocalRank { k: RRF_K },
        ..SearchRequest::default()
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
