//! What all requests share.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use image::RgbImage;
use unprompt::indexing::check_encoder;
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

/// The index at one of its commits, with the model where there is one.
pub(crate) struct Snapshot {
    served: Served,
    pub(crate) stats: Stats,
    /// The first line of the manifest, as it was before the index was opened.
    manifest: Vec<u8>,
}

impl Snapshot {
    pub(crate) fn index(&self) -> &Index {
        match &self.served {
            Served::Texts(index) => index,
            Served::Images(reverser) => reverser.index(),
        }
    }

    /// What answers images.
    ///
    /// # Errors
    /// [`Problem::no_model`] if nothing does.
    pub(crate) fn reverser(&self) -> Result<&Reverser, Problem> {
        match &self.served {
            Served::Texts(_) => Err(Problem::no_model()),
            Served::Images(reverser) => Ok(reverser),
        }
    }
}

/// What is answered: texts, and images by what their files carry alone, or by a model as well.
enum Served {
    Texts(Index),
    Images(Box<Reverser>),
}

/// An image model, and the images that wait for it.
struct Model {
    predictor: Arc<Predictor>,
    images: Batcher<(RgbImage, Held), Prediction>,
}

impl Model {
    fn start(predictor: Predictor, config: &Config, metrics: &Metrics) -> Result<Self, Error> {
        let predictor = Arc::new(predictor);
        let model = predictor.clone();
        let images = Batcher::start(
            "encode-images",
            config.batching,
            metrics.batches("images", "encode"),
            move |waiting: Vec<(RgbImage, Held)>| {
                let (images, _held): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
                Ok(model.predict(&images)?)
            },
        );
        Ok(Self {
            predictor,
            images: images.map_err(Error::Start)?,
        })
    }
}

/// What all requests share.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) memory: Memory,
    pub(crate) gate: Gate,
    pub(crate) thumbnails: Option<Arc<Thumbnails>>,
    model: Option<Model>,
    sentences: Arc<SentenceEncoder>,
    texts: Batcher<String, Vec<f32>>,
    snapshot: RwLock<Arc<Snapshot>>,
}

impl State {
    pub(crate) fn new(
        config: Config,
        predictor: Option<Predictor>,
        sentences: SentenceEncoder,
    ) -> Result<Self, Error> {
        let sentences = Arc::new(sentences);
        let metrics = Metrics::new();
        let model = predictor.map(|it| Model::start(it, &config, &metrics));
        let model = model.transpose()?;
        let snapshot = open(&config, model.as_ref(), &sentences)?;
        metrics.index(snapshot.stats.generation, snapshot.stats.prompts);
        let batching = config.batching;
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
            texts: texts.map_err(Error::Start)?,
            snapshot: RwLock::new(Arc::new(snapshot)),
            config,
            metrics,
            model,
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
        let new = open(&self.config, self.model.as_ref(), &self.sentences)?;
        self.metrics.index(new.stats.generation, new.stats.prompts);
        let mut snapshot = self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *snapshot, Arc::new(new));
        // Unmapping gigabytes takes a while, in which nobody is to wait for the lock.
        drop(snapshot);
        drop(old);
        Ok(true)
    }

    /// The image model, if there is one.
    pub(crate) fn predictor(&self) -> Option<&Predictor> {
        self.model.as_ref().map(|model| &*model.predictor)
    }

    /// The sentence encoder.
    pub(crate) fn sentences(&self) -> &SentenceEncoder {
        &self.sentences
    }

    /// What the model predicts of an image, together with those of other requests.
    ///
    /// # Errors
    /// [`Problem::no_model`], [`Problem::busy`] if there is no room for its pixels, or in the queue, and what the model
    /// reports.
    pub(crate) async fn predict(&self, image: RgbImage) -> Result<Prediction, Problem> {
        let model = self.model.as_ref().ok_or_else(Problem::no_model)?;
        let held = self.memory.hold();
        held.take(image.len())?;
        model.images.run((image, held)).await
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
    model: Option<&Model>,
    sentences: &Arc<SentenceEncoder>,
) -> Result<Snapshot, Error> {
    let manifest = manifest(&config.index);
    let index = Index::open(&config.index).map_err(unprompt::Error::from)?;
    let stats = index.stats().map_err(unprompt::Error::from)?;
    let served = match model {
        Some(model) => {
            let reverser = Reverser::new(index, model.predictor.clone())?;
            Served::Images(Box::new(reverser.with_sentences(sentences.clone())?))
        }
        None => {
            check_encoder(index.encoder(), sentences.identity())?;
            Served::Texts(index)
        }
    };
    Ok(Snapshot {
        served,
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
