//! `serve`.

use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
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
        env = "UNPROMPT_BIND",
        value_parser = address
    )]
    bind: SocketAddr,

    /// The model that predicts: a built-in one, a folder, clip:DIR for a CLIP as it is published, or none to answer texts,
    /// and images by what their files carry. If none is named, it is vit, or none where the index is of another sentence
    /// encoder than vit's.
    #[arg(long, value_name = "NAME|DIR", env = "UNPROMPT_MODEL")]
    pub(crate) model: Option<String>,

    /// The folder that holds the index's images, to show them. No other file is ever sent.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_IMAGES")]
    images: Option<PathBuf>,

    /// Every request to /v1 must carry `Authorization: Bearer K`. Better given by the environment variable, which no list
    /// of processes shows.
    #[arg(
        long,
        value_name = "K",
        value_parser = NonEmptyStringValueParser::new(),
        env = "UNPROMPT_API_KEY",
        hide_env_values = true
    )]
    pub(crate) api_key: Option<String>,

    /// A name beside localhost that the server answers to, as a proxy in front of it passes it on. May be given several
    /// times. Without one, a server on another address than this machine's own answers to any.
    #[arg(
        long,
        value_name = "NAME",
        env = "UNPROMPT_HOST",
        value_parser = host,
        value_delimiter = ','
    )]
    host: Vec<String>,

    /// Another origin whose pages may ask, as https://example.org.
    #[arg(long, value_name = "ORIGIN", env = "UNPROMPT_CORS_ORIGIN", value_parser = origin)]
    cors_origin: Option<String>,

    /// Bytes of the largest image.
    #[arg(long, value_name = "N", default_value_t = Limits::default().image_bytes,
        env = "UNPROMPT_MAX_IMAGE_BYTES")]
    max_image_bytes: usize,

    /// Bytes of the largest other body.
    #[arg(long, value_name = "N", default_value_t = Limits::default().json_bytes,
        env = "UNPROMPT_MAX_JSON_BYTES")]
    max_json_bytes: usize,

    /// Bytes of the longest text; a filter has 4096 at most.
    #[arg(long, value_name = "N", default_value_t = Limits::default().text_bytes,
        env = "UNPROMPT_MAX_TEXT_BYTES")]
    max_text_bytes: usize,

    /// The most texts to embed in one request.
    #[arg(long, value_name = "N", default_value_t = Limits::default().texts, env = "UNPROMPT_MAX_TEXTS")]
    max_texts: usize,

    /// Bytes of bodies, of pixels that wait for the model and of long answers that are sent, over all requests; beyond it
    /// they are refused with status 429.
    #[arg(long, value_name = "N", default_value_t = Limits::default().memory_bytes,
        env = "UNPROMPT_MAX_MEMORY_BYTES")]
    max_memory_bytes: usize,

    /// The most hits of an answer, those left out by an offset included.
    #[arg(long, value_name = "N", default_value_t = Limits::default().hits, env = "UNPROMPT_MAX_HITS")]
    max_hits: usize,

    /// Seconds that a client may take for the headers of a connection's first request, and for the next piece of a
    /// body. A whole body may take twelve times as long, and so, on Linux, may a client that reads nothing of its answer.
    #[arg(long, value_name = "S", default_value_t = Limits::default().client.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=3600), env = "UNPROMPT_CLIENT_TIMEOUT_S")]
    client_timeout_s: u64,

    /// Milliseconds between looks for a new generation of the index.
    #[arg(long, value_name = "MS", default_value_t = 1000, env = "UNPROMPT_RELOAD_MS",
        value_parser = clap::value_parser!(u64).range(1..))]
    reload_ms: u64,

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
                json_bytes: self.max_json_bytes,
                text_bytes: self.max_text_bytes,
                texts: self.max_texts,
                memory_bytes: self.max_memory_bytes,
                hits: self.max_hits,
                client: Duration::from_secs(self.client_timeout_s),
            },
            batching: Batching {
                size: self.batch_size,
                wait: Duration::from_millis(self.batch_wait_ms),
                queue: self.queue,
            },
            workers: self.threads,
            reconstruct: self.reconstruct.budget(),
            reload_every: Duration::from_millis(self.reload_ms),
            ..Config::new(self.index.clone(), self.bind)
        }
    }
}

/// Where to listen: a number or a name of this machine, and a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{why}; give an address as 127.0.0.1:8080");
    let mut found = text.to_socket_addrs().map_err(|error| wrong(&error))?;
    found.next().ok_or_else(|| wrong(&"it has no address"))
}

/// A name as the header `Host` has it before its port.
fn host(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let number = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_name = match number {
        Some(number) => number.parse::<Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.chars().all(is_plain),
    };
    match is_name {
        true => Ok(text.to_owned()),
        false => Err("give a name alone, as example.org".to_owned()),
    }
}

/// An origin as browsers say it.
fn origin(text: &str) -> Result<String, String> {
    let schemes = [("https://", "443"), ("http://", "80")];
    let of = |(scheme, port)| Some((text.strip_prefix(scheme)?, port));
    let is_host = |(rest, default): (&str, &str)| match rest.rsplit_once(':') {
        // A browser leaves the port of the scheme out.
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => {
            host(name).is_ok() && port.parse::<u16>().is_ok() && port != default
        }
        _ => host(rest).is_ok(),
    };
    match schemes.into_iter().find_map(of).is_some_and(is_host) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(
            "give scheme and host, without a path or the scheme's own port, as https://example.org"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_name_or_a_number() {
        assert_eq!(address("127.0.0.1:80"), Ok(([127, 0, 0, 1], 80).into()));
        assert!(address("localhost:8080").unwrap().ip().is_loopback());
        for wrong in ["8080", "127.0.0.1", "localhost:99999", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_and_origins_are_as_browsers_say_them() {
        for right in ["example.org", "10.0.0.1", "[2001:db8::1]"] {
            assert_eq!(host(right), Ok(right.to_owned()));
        }
        for wrong in [
            "a b",
            "https://example.org",
            "example.org/",
            "a.org:80",
            "[x]",
            "",
        ] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        for right in [
            "https://example.org",
            "http://localhost:3000",
            "http://[::1]:8080",
        ] {
            assert_eq!(origin(right), Ok(right.to_owned()));
        }
        for wrong in [
            "example.org",
            "https://example.org/",
            "*",
            "ftp://a.org",
            "https://a.org:443",
            "http://a.org:+80",
            "http://a.org:",
            "https://",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
