//! `serve`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use unprompt_server::{Batching, Config, Limits};

use super::query::ReconstructArgs;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The index's folder. A new generation of it is taken up while the server runs.
    #[arg(value_name = "INDEX")]
    index: PathBuf,

    /// Where to listen. Whoever can reach another address than this machine's own can ask: give it a key, too.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        env = "UNPROMPT_BIND"
    )]
    bind: SocketAddr,

    /// The model that predicts.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "vit",
        env = "UNPROMPT_MODEL"
    )]
    pub(crate) model: String,

    /// The folder that holds the index's images, to show them. No other file is ever sent.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_IMAGES")]
    images: Option<PathBuf>,

    /// Every request to /v1 must carry `Authorization: Bearer K`. Better given by the environment variable, which no list
    /// of processes shows.
    #[arg(
        long,
        value_name = "K",
        env = "UNPROMPT_API_KEY",
        hide_env_values = true
    )]
    pub(crate) api_key: Option<String>,

    /// A name beside localhost that a server on this machine's own address answers to, as a proxy in front of it
    /// passes it on. May be given several times.
    #[arg(
        long,
        value_name = "NAME",
        env = "UNPROMPT_HOST",
        value_delimiter = ','
    )]
    host: Vec<String>,

    /// Another origin whose pages may ask, as https://example.org.
    #[arg(long, value_name = "ORIGIN", env = "UNPROMPT_CORS_ORIGIN")]
    cors_origin: Option<String>,

    /// Bytes of the largest image.
    #[arg(long, value_name = "N", default_value_t = Limits::default().image_bytes,
        env = "UNPROMPT_MAX_IMAGE_BYTES")]
    max_image_bytes: usize,

    /// The most hits of an answer, those left out by an offset included.
    #[arg(long, value_name = "N", default_value_t = Limits::default().hits, env = "UNPROMPT_MAX_HITS")]
    max_hits: usize,

    /// Images, and texts, that are encoded together at most.
    #[arg(long, value_name = "N", default_value_t = Batching::default().size,
        env = "UNPROMPT_BATCH_SIZE")]
    batch_size: NonZeroUsize,

    /// Milliseconds that the first of a batch waits for others. Without waiting, those are put together that came while
    /// the ones before were encoded.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        env = "UNPROMPT_BATCH_WAIT_MS"
    )]
    batch_wait_ms: u64,

    /// Requests that may wait for each part of the work; beyond it they are refused with status 429.
    #[arg(long, value_name = "N", default_value_t = Batching::default().queue, env = "UNPROMPT_QUEUE")]
    queue: NonZeroUsize,

    /// Threads that answer; one a core by default.
    #[arg(long, value_name = "N", env = "UNPROMPT_THREADS")]
    threads: Option<NonZeroUsize>,

    #[command(flatten)]
    reconstruct: ReconstructArgs,
}

impl ServeArgs {
    pub(crate) fn config(&self) -> Config {
        Config {
            images: self.images.clone(),
            hosts: self.host.clone(),
            api_key: self.api_key.clone(),
            cors_origin: self.cors_origin.clone(),
            limits: Limits {
                image_bytes: self.max_image_bytes,
                hits: self.max_hits,
                ..Limits::default()
            },
            batching: Batching {
                size: self.batch_size,
                wait: Duration::from_millis(self.batch_wait_ms),
                queue: self.queue,
            },
            workers: self.threads,
            reconstruct: self.reconstruct.budget(),
            ..Config::new(self.index.clone(), self.bind)
        }
    }
}
