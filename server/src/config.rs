//! What a server is told before it starts.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a server; the defaults are those of the command line.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 takes one that is free.
    pub bind: SocketAddr,
    /// The index's folder.
    pub index: PathBuf,
    /// The folder that holds the index's images; none are shown without it.
    pub images: Option<PathBuf>,
    /// Names beside `localhost` that the server answers to, as a proxy in front of it says them. A server on another
    /// address than a loopback one answers to any if there are none.
    pub hosts: Vec<String>,
    /// What `Authorization: Bearer` must say on every route below `/v1`.
    pub api_key: Option<String>,
    /// Another origin whose pages may ask, as `https://example.org`.
    pub cors_origin: Option<String>,
    /// What a request may ask for.
    pub limits: Limits,
    /// How requests are put together for the models.
    pub batching: Batching,
    /// Threads that answer; one a core by default.
    pub workers: Option<NonZeroUsize>,
    /// Time to put a prompt together in; requests that wait for a core share it.
    pub reconstruct: Duration,
    /// How often to look for a new generation of the index.
    pub reload_every: Duration,
}

impl Config {
    /// The defaults for an index.
    pub fn new(index: PathBuf, bind: SocketAddr) -> Self {
        Self {
            bind,
            index,
            images: None,
            hosts: vec![],
            api_key: None,
            cors_origin: None,
            limits: Limits::default(),
            batching: Batching::default(),
            workers: None,
            reconstruct: Duration::from_millis(100),
            reload_every: Duration::from_secs(1),
        }
    }
}

/// What a request may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of an image.
    pub image_bytes: usize,
    /// Bytes of any other body.
    pub json_bytes: usize,
    /// Bytes of bodies, of pixels that wait and of long answers that are sent, over all requests.
    pub memory_bytes: usize,
    /// Bytes of a query, or of one text to embed; a filter has 4096 at most.
    pub text_bytes: usize,
    /// Texts to embed at once.
    pub texts: usize,
    /// Hits, those left out by an offset included.
    pub hits: usize,
    /// Time for a client to send the headers of a connection's first request, the next piece of a body, and to go away
    /// once it is asked to. A whole body may take twelve times as long, and so, on Linux, may a client that reads
    /// nothing.
    pub client: Duration,
}

impl Limits {
    /// Bytes that a form may have beside its image.
    const FORM_BYTES: usize = 64 << 10;

    /// Times what a client may pause for that it may take in all.
    const PAUSES: u32 = 12;

    /// Time for a whole body, and for a client that reads nothing of its answer.
    pub(crate) fn patience(&self) -> Duration {
        self.client * Self::PAUSES
    }

    /// Bytes of the longest form.
    pub(crate) fn form_bytes(&self) -> usize {
        self.image_bytes.saturating_add(Self::FORM_BYTES)
    }

    /// Bytes of the longest body.
    pub(crate) fn longest_body(&self) -> usize {
        self.json_bytes.max(self.form_bytes())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            image_bytes: 20 << 20,
            json_bytes: 1 << 20,
            memory_bytes: 512 << 20,
            text_bytes: 32 << 10,
            texts: 256,
            hits: 10_000,
            client: Duration::from_secs(10),
        }
    }
}

/// How requests are put together for the models.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// The most that are encoded together.
    pub size: NonZeroUsize,
    /// How long the first of them waits for others. Without waiting, those are put together that came while the
    /// ones before were encoded.
    pub wait: Duration,
    /// Requests that may wait; beyond it they are refused with status 429.
    pub queue: NonZeroUsize,
}

impl Default for Batching {
    fn default() -> Self {
        const SIZE: NonZeroUsize = NonZeroUsize::new(32).unwrap();
        const QUEUE: NonZeroUsize = NonZeroUsize::new(256).unwrap();
        Self {
            size: SIZE,
            wait: Duration::ZERO,
            queue: QUEUE,
        }
    }
}
