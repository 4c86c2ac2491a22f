//! Sentence encoders (Reimers & Gurevych 2019): texts in, unit rows out, whose dot product says how alike in
//! meaning two texts are. The default is all-MiniLM-L6-v2 (Wang 2020), with rows of 384 numbers.
//!
//! The reference is sentence-transformers; the integration test `sentence` compares with its figures for the
//! default, `tests/published` holds small encoders of every kind. Texts are cut off after as many tokens as
//! there, 256 for the default.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use candle_core::{DType, Device, Tensor};
use candle_nn::Module;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::batch::{BatchLimits, Packing, Plan};
use super::bert::BertConfig;
use super::folder;
use super::network::Network;
use super::pool::{self, Pooling};
use super::states::TokenStates;
use super::tokenize::Tokenizer;
use crate::error::{Error, Result};
use crate::matmul::Precision;
use crate::models::ModelFiles;
use crate::nn::dense::Dense;
use crate::weights;

/// Texts are cut off after so many tokens, as by the reference.
const MAX_TOKENS: usize = 256;

/// So many texts are tokenized before the first of them is encoded: tokens of a whole corpus would fill
/// the memory, and lengths vary enough in this many.
const WINDOW_TEXTS: usize = 8192;

/// As many tokens as leave what lies between two products in the second cache, of one or two megabytes; with
/// half of them, weights are read twice as often.
const PACKED: BatchLimits = BatchLimits {
    texts: usize::MAX,
    tokens: 256,
    packing: Packing::Packed,
};
/// Tokens that are worth a batch of their own.
const LEAST_TOKENS: usize = 64;
/// Texts of different lengths would not share a batch, and small ones stay in the cache.
const EQUAL: BatchLimits = BatchLimits {
    texts: 8,
    tokens: 1024,
    packing: Packing::Equal,
};
const PADDED: BatchLimits = BatchLimits {
    texts: 512,
    tokens: 32_768,
    packing: Packing::Padded,
};

/// The sentence encoder, loaded.
///
/// ```no_run
/// use unprompt::device::DeviceChoice;
/// use unprompt::matmul::Precision;
/// use unprompt::models::ModelStore;
/// use unprompt::text::SentenceEncoder;
///
/// let files = ModelStore::from_env()?.pull("all-MiniLM-L6-v2", &mut ())?;
/// let device = DeviceChoice::Auto.open()?;
/// let encoder = SentenceEncoder::load(&files, &device, Precision::fastest(&device))?;
/// let found = encoder.embed(&["a cat in the rain", "a kitten, wet weather"])?;
/// let cosine: f32 = found.row(0).iter().zip(found.row(1)).map(|(a, b)| a * b).sum();
/// assert!(cosine > 0.5);
/// # Ok::<(), unprompt::Error>(())
/// ```
pub struct SentenceEncoder {
    tokenizer: Tokenizer,
    /// Stands before every text.
    prompt: String,
    /// Whether texts are brought to lower case first.
    lower_case: bool,
    network: Network,
    pooling: Pooling,
    /// What a pooled vector goes through before it is scaled.
    layers: Vec<Dense>,
    device: Device,
    limits: BatchLimits,
    identity: EncoderIdentity,
    /// Each of one thread, in which one worker runs its products of matrices: two workers of one thread
    /// are faster than one of two.
    workers: Vec<ThreadPool>,
}

/// What a sentence encoder is put together from.
pub(super) struct Parts {
    pub(super) tokenizer: Tokenizer,
    pub(super) prompt: String,
    pub(super) lower_case: bool,
    pub(super) network: Network,
    pub(super) pooling: Pooling,
    pub(super) layers: Vec<Dense>,
    pub(super) identity: EncoderIdentity,
}

/// Which encoder made a vector. Vectors of different encoders cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EncoderIdentity {
    /// The model's name, for people: it does not tell encoders apart.
    pub name: String,
    /// The SHA-256 of its weights; of encoders in folders that of weights, settings and tokenizer: lower-case
    /// hexadecimal.
    pub sha256: String,
    /// The length of its vectors.
    pub dim: usize,
}

impl EncoderIdentity {
    /// Whether vectors of both can be compared; folders may have been renamed.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.sha256, self.dim) == (&other.sha256, other.dim)
    }
}

impl SentenceEncoder {
    /// Loads the default encoder onto a device. On the CPU it uses as many threads as there are cores, see
    /// [`with_threads`](Self::with_threads), and products are of this precision: cosines of mixed and full
    /// embeddings of a prompt are above 0.9999.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is not understood; [`Error::MissingWeight`] names a tensor that is
    /// not there.
    pub fn load(files: &ModelFiles, device: &Device, precision: Precision) -> Result<Self> {
        let config_path = files.path("config.json")?;
        let config: BertConfig = crate::files::json(&config_path)?;
        let max_tokens = MAX_TOKENS.min(config.max_tokens());
        let weights_path = files.path("model.safetensors")?;
        let weights = weights::open(&weights_path, DType::F32, device)?;
        let network = Network::bert(&config, weights, precision)
            .map_err(|source| weights::failed(&weights_path, source))?;
        Self::new(
            Parts {
                tokenizer: Tokenizer::open(&files.path("tokenizer.json")?, max_tokens)?,
                prompt: String::new(),
                lower_case: false,
                network,
                pooling: Pooling::Mean,
                layers: vec![],
                identity: EncoderIdentity {
                    name: files.model().name.to_owned(),
                    sha256: files.sha256("model.safetensors")?.to_owned(),
                    dim: config.hidden_size,
                },
            },
            device,
        )
    }

    /// Loads any sentence encoder from its folder: one that sentence-transformers has saved, of BERT or MPNet
    /// kind, or CLIP's text tower, of Hugging Face or open_clip. Its identity is the folder's name and the
    /// digest of its weights. CLIP's products are of full precision.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is not understood, [`Error::Unsupported`] for other kinds of models, and
    /// what [`Checkpoint`](crate::weights::checkpoint::Checkpoint) says of weights.
    pub fn open(folder: &Path, device: &Device, precision: Precision) -> Result<Self> {
        Self::new(folder::parts(folder, device, precision)?, device)
    }

    fn new(parts: Parts, device: &Device) -> Result<Self> {
        let Parts {
            tokenizer,
            prompt,
            lower_case,
            network,
            pooling,
            layers,
            identity,
        } = parts;
        let device = match network.packing() {
            Packing::Packed => Device::Cpu,
            Packing::Padded | Packing::Equal => device.clone(),
        };
        let encoder = Self {
            limits: match network.packing() {
                Packing::Packed => PACKED,
                Packing::Padded => PADDED,
                Packing::Equal => EQUAL,
            },
            tokenizer,
            prompt,
            lower_case,
            network,
            pooling,
            layers,
            device,
            identity,
            workers: Vec::new(),
        };
        encoder.with_threads(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// The same encoder with so many threads. Other devices than the CPU are fed by one, and the others
    /// only split texts into tokens.
    ///
    /// # Errors
    ///
    /// [`Error::Threads`] if they cannot be started.
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Result<Self> {
        let pool = |worker| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(move |_| format!("sentence-{worker}"))
                .build()
                .map_err(|source| Error::Threads { source })
        };
        let workers = if self.device.is_cpu() {
            threads.get()
        } else {
            1
        };
        self.workers = (0..workers).map(pool).collect::<Result<_>>()?;
        Ok(self)
    }

    /// The same encoder with at most so many texts a batch; 0 counts as 1.
    pub fn with_batch_size(mut self, texts: usize) -> Self {
        self.limits.texts = texts.max(1);
        self
    }

    /// The length of a vector.
    pub fn dim(&self) -> usize {
        self.identity.dim
    }

    /// Which encoder this is: an index keeps it beside its vectors.
    pub fn identity(&self) -> &EncoderIdentity {
        &self.identity
    }

    /// Whether this is the encoder that a model was trained with.
    ///
    /// # Errors
    /// [`Error::OtherEncoder`] if it is another.
    pub fn check(&self, expected: &EncoderIdentity) -> Result<()> {
        if self.identity.is_same(expected) {
            return Ok(());
        }
        Err(Error::OtherEncoder {
            expected: expected.name.clone(),
            found: self.identity.name.clone(),
        })
    }

    /// One vector a text, in the order of the texts. An empty text has one, too.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] or [`Error::Tensor`], neither of which a text can provoke; [`Error::NoEmbedding`] if the
    /// text is empty and its tokenizer marks neither begin nor end, or if weights are damaged.
    pub fn embed<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Embeddings> {
        self.embed_with(texts, |_| ControlFlow::Continue(()))
    }

    /// As [`embed`](Self::embed), for many texts: calls `progress` on the caller's thread with the
    /// number of texts done, after every batch, and stops when it answers `Break`.
    ///
    /// # Errors
    ///
    /// As for [`embed`](Self::embed), and [`Error::Cancelled`] if it was stopped.
    pub fn embed_with<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        mut progress: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Embeddings> {
        let dim = self.dim();
        let mut values = vec![0.0; texts.len() * dim];
        let windows = texts
            .chunks(WINDOW_TEXTS)
            .zip(values.chunks_mut(WINDOW_TEXTS * dim));
        let mut done = 0;
        for (texts, values) in windows {
            let tokens = self.tokenize(texts)?;
            self.encode_window(&tokens, Reading::Pooled, |batch, rows| {
                for (&text, row) in batch.iter().zip(&rows) {
                    values[text * dim..][..dim].copy_from_slice(row);
                }
                done += batch.len();
                progress(done)
            })?;
        }
        Ok(Embeddings { dim, values })
    }

    /// What tells these texts, and this encoder's embeddings of them, from others.
    pub fn fingerprint(&self, texts: &[&str]) -> String {
        let mut hash = Xxh3::new();
        hash.update(self.identity.sha256.as_bytes());
        for text in texts {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        format!("{:032x}", hash.digest128())
    }

    /// The states of every token of each text, in the order of the texts: what a diffusion model
    /// attends to. `progress` is as for [`embed_with`](Self::embed_with).
    ///
    /// # Errors
    ///
    /// As for [`embed_with`](Self::embed_with).
    pub fn states_with<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        mut progress: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<TokenStates> {
        let mut states = TokenStates::new(self.dim());
        let mut done = 0;
        for texts in texts.chunks(WINDOW_TEXTS) {
            let tokens = self.tokenize(texts)?;
            let mut window = vec![vec![]; texts.len()];
            self.encode_window(&tokens, Reading::Tokens, |batch, rows| {
                done += batch.len();
                for (&text, row) in batch.iter().zip(rows) {
                    window[text] = row;
                }
                progress(done)
            })?;
            window.iter().for_each(|text| states.push(text));
        }
        Ok(states)
    }

    fn tokenize<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Vec<u32>>> {
        texts
            .par_iter()
            .map(|text| {
                let text = text.as_ref();
                if self.prompt.is_empty() && !self.lower_case {
                    return self.tokenizer.encode(text);
                }
                let text = format!("{}{text}", self.prompt);
                let lower = self.lower_case.then(|| text.to_lowercase());
                self.tokenizer.encode(&lower.unwrap_or(text))
            })
            .collect()
    }

    /// Encodes texts, given as tokens, in batches, and hands each batch's places and rows to `sink`, on
    /// the caller's thread, in no particular order.
    fn encode_window(
        &self,
        tokens: &[Vec<u32>],
        reading: Reading,
        mut sink: impl FnMut(&[usize], Vec<Vec<f32>>) -> ControlFlow<()>,
    ) -> Result<()> {
        let lengths: Vec<_> = tokens.iter().map(Vec::len).collect();
        let mut limits = self.limits;
        if limits.packing == Packing::Packed {
            // A few texts are spread over all workers.
            let share = lengths
                .iter()
                .sum::<usize>()
                .div_ceil(self.workers.len().max(1));
            limits.tokens = limits.tokens.min(share.max(LEAST_TOKENS));
        }
        let plan = Plan::new(&lengths, limits);
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            for worker in self.workers.iter().take(plan.len()) {
                let (sender, next, stop, plan) = (sender.clone(), &next, &stop, &plan);
                scope.spawn(move || {
                    worker.install(|| {
                        while !stop.load(Ordering::Relaxed) {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            let Some(batch) = plan.batch(number) else {
                                break;
                            };
                            let rows = self.encode_batch(tokens, batch, reading);
                            // The receiver lives until all senders are gone.
                            let _ = sender.send((batch, rows));
                        }
                    });
                });
            }
            drop(sender);
            let mut outcome = Ok(());
            for (batch, rows) in receiver {
                if outcome.is_err() {
                    continue;
                }
                outcome = rows.and_then(|rows| match sink(batch, rows) {
                    ControlFlow::Continue(()) => Ok(()),
                    ControlFlow::Break(()) => Err(Error::Cancelled),
                });
                if outcome.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            outcome
        })
    }

    /// What is read off each text of a batch.
    fn encode_batch(
        &self,
        tokens: &[Vec<u32>],
        batch: &[usize],
        reading: Reading,
    ) -> Result<Vec<Vec<f32>>> {
        let texts: Vec<&[u32]> = batch.iter().map(|&text| &*tokens[text]).collect();
        let states = self.network.states(&texts, &self.device)?;
        match reading {
            Reading::Pooled => {
                let pooled = states.iter().zip(&texts);
                let pooled = pooled.map(|(states, text)| self.pooling.pool(states, text));
                let mut rows = Tensor::stack(&pooled.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
                for layer in &self.layers {
                    rows = layer.forward(&rows)?;
                }
                let rows: Vec<Vec<f32>> = pool::unit_rows(&rows)?.to_vec2()?;
                if rows.iter().flatten().all(|value| value.is_finite()) {
                    return Ok(rows);
                }
                Err(Error::NoEmbedding {
                    encoder: self.identity.name.clone(),
                })
            }
            Reading::Tokens => states
                .iter()
                .map(|states| Ok(states.flatten_all()?.to_vec1()?))
                .collect(),
        }
    }
}

/// What is read off a text.
#[derive(Clone, Copy)]
enum Reading {
    /// One vector, of unit length.
    Pooled,
    /// Every token's state, one after the other.
    Tokens,
}

/// Vectors of one length, one a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    dim: usize,
    values: Vec<f32>,
}

impl Embeddings {
    /// Vectors of `dim` numbers, one after another.
    ///
    /// # Panics
    /// If there is no whole number of them.
    pub fn new(dim: usize, values: Vec<f32>) -> Self {
        assert!(values.len().is_multiple_of(dim.max(1)), "whole vectors");
        Self { dim, values }
    }

    /// The length of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The number of vectors.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim.max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The vector of the text at `place`.
    ///
    /// # Panics
    ///
    /// If there were no more than `place` texts.
    pub fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.dim..][..self.dim]
    }

    /// The vectors, in the order of the texts.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.dim.max(1))
    }

    /// All vectors, one after another.
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// All vectors, one after another.
    pub fn into_vec(self) -> Vec<f32> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::super::bert::Kind;
    use super::super::padded::tests::both;
    use super::*;

    const WORDS: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"a": 1, "b": 2, "c": 3}, "unk_token": "a"}}"#;

    fn encoder(network: Network) -> SentenceEncoder {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, WORDS).unwrap();
        let parts = Parts {
            tokenizer: Tokenizer::open(&path, 16).unwrap(),
            prompt: String::new(),
            lower_case: false,
            network,
            pooling: Pooling::Mean,
            layers: vec![],
            identity: EncoderIdentity {
                name: String::new(),
                sha256: String::new(),
                dim: 24,
            },
        };
        let encoder = SentenceEncoder::new(parts, &Device::Cpu).unwrap();
        encoder.with_threads(NonZeroUsize::new(2).unwrap()).unwrap()
    }

    #[test]
    fn padding_and_batching_change_nothing() {
        let (packed, padded) = both(Kind::Bert);
        let texts: Vec<_> = (1..40).map(|n| "c b a b ".repeat(n * 7 % 5 + 1)).collect();
        let packed = encoder(Network::Packed(Box::new(packed)));
        let packed = packed.embed(&texts).unwrap();
        let padded = encoder(Network::Padded(Box::new(padded)));
        let padded = padded.embed(&texts).unwrap();
        for (a, b) in packed.as_slice().iter().zip(padded.as_slice()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert_eq!(packed.row(0), packed.row(5));
    }
}
