//! What all requests share.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use image::RgbImage;
use unprompt::predictor::{Prediction, Predictor};
use unprompt::reverse::Reverser;
use unprompt::text::SentenceEncoder;
use unprompt_index::{Index, Stats};

use crate::batch::Batcher;
use crate::config::Config;
use crate::error::Error;
use crate::gate::Gate;
use crate::memory::{Held, Memory};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::thumbnails::Thumbnails;

/// What a commit of an index replaces last.
const MANIFEST: &str = "MANIFEST";

/// Bytes of its first line at most.
const MAX_LINE: u64 = 1024;

/// The index at one of its commits, with the model.
pub(crate) struct Snapshot {
    pub(crate) reverser: Reverser,
    pub(crate) stats: Stats,
    /// The first line of the manifest, as it was before the index was opened.
    manifest: Vec<u8>,
}

impl Snapshot {
    pub(crate) fn index(&self) -> &Index {
        self.reverser.index()
    }
}

/// What all requests share.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) memory: Memory,
    pub(crate) gate: Gate,
    pub(crate) thumbnails: Option<Arc<Thumbnails>>,
    predictor: Arc<Predictor>,
    sentences: Arc<SentenceEncoder>,
    images: Batcher<(RgbImage, Held), Prediction>,
    texts: Batcher<String, Vec<f32>>,
    snapshot: RwLock<Arc<Snapshot>>,
}

impl State {
    pub(crate) fn new(
        config: Config,
        predictor: Predictor,
        sentences: SentenceEncoder,
    ) -> Result<Self, Error> {
        let (predictor, sentences) = (Arc::new(predictor), Arc::new(sentences));
        let metrics = Metrics::new();
        let snapshot = open(&config, &predictor, &sentences)?;
        metrics.index(snapshot.stats.generation, snapshot.stats.prompts);
        let batching = config.batching;
        let model = predictor.clone();
        let images = Batcher::start(
            "encode-images",
            batching,
            metrics.batches("images", "encode"),
            move |waiting: Vec<(RgbImage, Held)>| {
                let (images, _held): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
                Ok(model.predict(&images)?)
            },
        );
        let encoder = sentences.clone();
        let texts = Batcher::start(
            "encode-texts",
            batching,
            metrics.batches("texts", "embed"),
            move |texts: Vec<String>| {
                let embeddings = encoder.embed(&texts)?;
                Ok(embeddings.rows().map(<[f32]>::to_vec).collect())
            },
        );
        let thumbnails = match &config.images {
            Some(folder) => Some(Arc::new(Thumbnails::new(folder, metrics.clone())?)),
            None => None,
        };
        Ok(Self {
            memory: Memory::new(config.limits.memory_bytes, metrics.memory()),
            gate: Gate::new(batching.queue, metrics.queue("work")),
            thumbnails,
            images: images.map_err(Error::Start)?,
            texts: texts.map_err(Error::Start)?,
            snapshot: RwLock::new(Arc::new(snapshot)),
            config,
            metrics,
            predictor,
            sentences,
        })
    }

    /// The index that is answered from now; a request keeps the one that it has begun with.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = self.snapshot.read();
        snapshot.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers from what lies in the index's folder from now on; whether that is something else than before.
    pub(crate) fn reload(&self) -> Result<bool, Error> {
        if manifest(&self.config.index) == self.snapshot().manifest {
            return Ok(false);
        }
        let new = open(&self.config, &self.predictor, &self.sentences)?;
        self.metrics.index(new.stats.generation, new.stats.prompts);
        let mut snapshot = self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *snapshot = Arc::new(new);
        Ok(true)
    }

    pub(crate) fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// What the model predicts of an image, together with those of other requests.
    ///
    /// # Errors
    /// [`Problem::busy`] if there is no room for its pixels, or in the queue, and what the model reports.
    pub(crate) async fn predict(&self, image: RgbImage) -> Result<Prediction, Problem> {
        let held = self.memory.hold();
        held.take(image.len())?;
        self.images.run((image, held)).await
    }

    /// The embedding of a text, together with those of other requests.
    pub(crate) async fn embed(&self, text: String) -> Result<Vec<f32>, Problem> {
        self.texts.run(text).await
    }

    /// The embeddings of texts, in order.
    pub(crate) async fn embed_all(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Problem> {
        self.texts.run_all(texts).await
    }
}

fn open(
    config: &Config,
    predictor: &Arc<Predictor>,
    sentences: &Arc<SentenceEncoder>,
) -> Result<Snapshot, Error> {
    let manifest = manifest(&config.index);
    let index = Index::open(&config.index).map_err(unprompt::Error::from)?;
    let stats = index.stats().map_err(unprompt::Error::from)?;
    let reverser = Reverser::new(index, predictor.clone())?.with_sentences(sentences.clone())?;
    Ok(Snapshot {
        reverser,
        stats,
        manifest,
    })
}

/// The first line of the manifest that lies in an index's folder, which has the checksum of the others; nothing if it
/// cannot be read, which opening the index will tell of.
fn manifest(index: &Path) -> Vec<u8> {
    let read = || {
        let mut line = vec![];
        let file = File::open(index.join(MANIFEST))?;
        BufReader::new(file.take(MAX_LINE)).read_until(b'\n', &mut line)?;
        io::Result::Ok(line)
    };
    read().unwrap_or_default()
}
