//! What `/metrics` tells Prometheus.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The media type of what [`Metrics::text`] gives.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// That of the older format, whose readers take the rest for comments.
pub(crate) const OLD_MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    queue: &'static str,
}

/// Half a millisecond to 16 seconds.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 8))
}

/// All that is counted and measured.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    stages: Family<Stage, Histogram, fn() -> Histogram>,
    waiting: Family<Queue, Gauge>,
    waits: Family<Queue, Histogram, fn() -> Histogram>,
    batches: Family<Queue, Histogram, fn() -> Histogram>,
    memory: Gauge,
    generation: Gauge<u64, AtomicU64>,
    prompts: Gauge<u64, AtomicU64>,
}

/// What is told of one queue.
#[derive(Clone)]
pub(crate) struct QueueMetrics {
    waiting: Gauge,
    waits: Histogram,
}

impl QueueMetrics {
    pub(crate) fn entered(&self) {
        self.waiting.inc();
    }

    /// There was no room for who has just entered.
    pub(crate) fn refused(&self) {
        self.waiting.dec();
    }

    /// Somebody has left who waited for so long.
    pub(crate) fn left(&self, waited: Duration) {
        self.waiting.dec();
        self.waits.observe(waited.as_secs_f64());
    }
}

/// What is told of a queue that is worked through in batches.
#[derive(Clone)]
pub(crate) struct BatchMetrics {
    pub(crate) queue: QueueMetrics,
    sizes: Histogram,
    stage: Histogram,
}

impl BatchMetrics {
    /// A batch of so many took so long.
    pub(crate) fn worked(&self, size: usize, took: Duration) {
        self.sizes.observe(size as f64);
        self.stage.observe(took.as_secs_f64());
    }
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("unprompt"),
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            stages: Family::new_with_constructor(seconds),
            waiting: Family::default(),
            waits: Family::new_with_constructor(seconds),
            batches: Family::new_with_constructor(sizes),
            memory: Gauge::default(),
            generation: Gauge::default(),
            prompts: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        let requests = metrics.requests.clone();
        registry.register("requests", "Requests that were answered", requests);
        let (durations, stages) = (metrics.durations.clone(), metrics.stages.clone());
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to that of its answer",
            Unit::Seconds,
            durations,
        );
        registry.register_with_unit(
            "stage_duration",
            "Parts of the work without waiting for it: decode, encode (a batch of images), embed (one of texts), search, \
             reconstruct, thumbnail",
            Unit::Seconds,
            stages,
        );
        registry.register(
            "queue_waiting",
            "Requests in a queue",
            metrics.waiting.clone(),
        );
        let waits = metrics.waits.clone();
        registry.register_with_unit("queue_wait", "Time in a queue", Unit::Seconds, waits);
        registry.register(
            "batch_size",
            "Images or texts that were encoded together",
            metrics.batches.clone(),
        );
        registry.register_with_unit(
            "memory_held",
            "Bodies, waiting pixels and long answers, which --max-memory-bytes bounds",
            Unit::Bytes,
            metrics.memory.clone(),
        );
        registry.register(
            "index_generation",
            "The commit of the index that is answered from",
            metrics.generation.clone(),
        );
        registry.register(
            "index_prompts",
            "Prompts of the index that is answered from",
            metrics.prompts.clone(),
        );
        Arc::new(metrics)
    }

    pub(crate) fn request(&self, route: String, method: &'static str, status: u16, took: Duration) {
        self.durations
            .get_or_create(&Route {
                route: route.clone(),
            })
            .observe(took.as_secs_f64());
        let request = Request {
            route,
            method,
            status,
        };
        self.requests.get_or_create(&request).inc();
    }

    pub(crate) fn stage(&self, stage: &'static str, ms: f64) {
        let stage = self.stages.get_or_create(&Stage { stage });
        stage.observe(ms / 1e3);
    }

    pub(crate) fn queue(&self, queue: &'static str) -> QueueMetrics {
        QueueMetrics {
            waiting: self.waiting.get_or_create_owned(&Queue { queue }),
            waits: self.waits.get_or_create_owned(&Queue { queue }),
        }
    }

    /// A queue whose batches are a `stage` of the work.
    pub(crate) fn batches(&self, queue: &'static str, stage: &'static str) -> BatchMetrics {
        BatchMetrics {
            queue: self.queue(queue),
            sizes: self.batches.get_or_create_owned(&Queue { queue }),
            stage: self.stages.get_or_create_owned(&Stage { stage }),
        }
    }

    /// Bytes that requests hold.
    pub(crate) fn memory(&self) -> Gauge {
        self.memory.clone()
    }

    pub(crate) fn index(&self, generation: u64, prompts: usize) {
        self.generation.set(generation);
        self.prompts.set(prompts as u64);
    }

    /// All of it in the text format of OpenMetrics.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
