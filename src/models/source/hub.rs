//! The Hugging Face hub, or a mirror of it, over HTTP: `{endpoint}/{repo}/resolve/{revision}/{file}`.
//!
//! A transfer that breaks off is taken up where it was with a `Range` request, at once and in later
//! runs. Whatever the server sends, no more than the published size is read. A server that cannot be
//! reached or does not answer is given up within seconds, so that the next source has its turn.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ureq::Body;
use ureq::config::RedirectAuthHeaders;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, RANGE};
use ureq::http::{Response, StatusCode};

use super::{Part, Result, Source, SourceError};
use crate::models::catalogue::{Model, ModelFile};
use crate::models::digest::CHUNK_BYTES;
use crate::models::progress::Progress;

/// How often in a row a transfer is taken up again that brought nothing new.
const FRUITLESS_RETRIES: usize = 2;

/// How long to wait for the hub.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct HubTimeouts {
    /// For its name and a connection, each.
    pub(in crate::models) connect: Duration,
    /// For the head of an answer.
    pub(in crate::models) response: Duration,
    /// For the next bytes of a file.
    pub(in crate::models) stall: Duration,
}

impl Default for HubTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(4),
            response: Duration::from_secs(8),
            stall: Duration::from_secs(20),
        }
    }
}

/// The hub at one endpoint.
pub(in crate::models) struct Hub {
    agent: ureq::Agent,
    endpoint: String,
    token: Option<String>,
}

impl Hub {
    /// The hub at `endpoint`, which is asked with `token` if there is one. Proxies are taken from the
    /// environment.
    pub(in crate::models) fn new(
        endpoint: &str,
        token: Option<String>,
        timeouts: HubTimeouts,
    ) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("unprompt/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_recv_response(Some(timeouts.response))
            .timeout_per_read(Some(timeouts.stall))
            .build()
            .new_agent();
        Self {
            agent,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token,
        }
    }

    /// Fetches one file of a repository at a revision and places it in `folder`.
    pub(in crate::models) fn fetch_file(
        &self,
        (repo, revision): (&str, &str),
        spec: &ModelFile<'_>,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let url = format!("{}/{repo}/resolve/{revision}/{}", self.endpoint, spec.name);
        let mut part = Part::open(folder, spec)?;
        let resumed = part.len_bytes() > 0;
        self.receive_all(&url, spec, &mut part, progress)?;
        match part.place() {
            // What an earlier run left may be the part that is wrong.
            Err(SourceError::OtherBytes { .. }) if resumed => {
                let mut part = Part::open(folder, spec)?;
                self.receive_all(&url, spec, &mut part, progress)?;
                part.place()
            }
            placed => placed,
        }
    }

    fn receive_all(
        &self,
        url: &str,
        spec: &ModelFile<'_>,
        part: &mut Part<'_>,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let mut retries_left = FRUITLESS_RETRIES;
        while part.missing_bytes() > 0 {
            let before = part.len_bytes();
            match self.receive(url, spec, part, progress) {
                Ok(()) => {}
                Err(error @ SourceError::BrokeOff { .. }) => {
                    if part.len_bytes() > before {
                        retries_left = FRUITLESS_RETRIES;
                    } else if retries_left == 0 {
                        return Err(error);
                    } else {
                        retries_left -= 1;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The answer to a request for something small, whose length is `most` at most. `what` is its name.
    pub(in crate::models) fn small(&self, path: &str, what: &str, most: u64) -> Result<Vec<u8>> {
        let response = self.get(&format!("{}/{path}", self.endpoint), None)?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(SourceError::Status {
                status: status.as_u16(),
                file: what.to_owned(),
            });
        }
        let mut bytes = vec![];
        let body = response.into_body().into_reader();
        let read = body.take(most + 1).read_to_end(&mut bytes);
        read.map_err(|source| SourceError::BrokeOff {
            file: what.to_owned(),
            len_bytes: bytes.len() as u64,
            source: Some(source),
        })?;
        if bytes.len() as u64 > most {
            return Err(SourceError::TooLong {
                file: what.to_owned(),
                expected_bytes: most,
            });
        }
        Ok(bytes)
    }

    /// Asks for a file, or for what comes after so many of its bytes.
    fn get(&self, url: &str, from: Option<u64>) -> Result<Response<Body>> {
        // Lengths and ranges are those of the file, not of a compressed form.
        let mut request = self.agent.get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(from) = from {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = request.call();
        answer.map_err(|source| SourceError::NoAnswer { source })
    }

    /// Asks once for what is missing, and receives until all is there or the transfer breaks off.
    fn receive(
        &self,
        url: &str,
        spec: &ModelFile<'_>,
        part: &mut Part<'_>,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let from = (part.len_bytes() > 0).then(|| part.len_bytes());
        let response = self.get(url, from)?;
        match response.status() {
            // A server that knows no ranges begins anew.
            StatusCode::OK => part.restart()?,
            StatusCode::PARTIAL_CONTENT => {
                let range = response
                    .headers()
                    .get(CONTENT_RANGE)
                    .and_then(|r| r.to_str().ok());
                if range.and_then(range_start) != Some(part.len_bytes()) {
                    return Err(SourceError::OtherRange {
                        file: spec.name.to_owned(),
                    });
                }
            }
            status => {
                return Err(SourceError::Status {
                    status: status.as_u16(),
                    file: spec.name.to_owned(),
                });
            }
        }
        let body = response.into_body();
        if body
            .content_length()
            .is_some_and(|length| length > part.missing_bytes())
        {
            return Err(SourceError::TooLong {
                file: spec.name.to_owned(),
                expected_bytes: spec.size_bytes,
            });
        }
        progress.begin(spec.name, Some(spec.size_bytes));
        progress.advance(part.len_bytes());
        let received = receive_body(body.into_reader(), spec, part, progress);
        progress.finish();
        received
    }
}

fn receive_body(
    mut body: impl Read,
    spec: &ModelFile<'_>,
    part: &mut Part<'_>,
    progress: &mut dyn Progress,
) -> Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match body.read(&mut chunk) {
            Ok(0) if part.missing_bytes() == 0 => return Ok(()),
            Ok(0) => return Err(broke_off(spec, part, None)),
            Ok(read) => {
                part.write(&chunk[..read])?;
                progress.advance(read as u64);
            }
            Err(error) => return Err(broke_off(spec, part, Some(error))),
        }
    }
}

fn broke_off(spec: &ModelFile<'_>, part: &Part<'_>, source: Option<std::io::Error>) -> SourceError {
    SourceError::BrokeOff {
        file: spec.name.to_owned(),
        len_bytes: part.len_bytes(),
        source,
    }
}

/// The first byte of a `Content-Range: bytes 5-9/10`.
fn range_start(range: &str) -> Option<u64> {
    range
        .trim()
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

impl Source for Hub {
    fn place(&self, _model: &Model) -> String {
        self.endpoint.clone()
    }

    fn fetch(
        &self,
        model: &Model,
        missing: &[&ModelFile<'_>],
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        missing.iter().try_for_each(|spec| {
            self.fetch_file((model.repo, model.revision), spec, folder, progress)
        })
    }
}
