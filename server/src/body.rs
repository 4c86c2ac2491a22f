//! Bodies: each within a size and a time, and all of them within what requests may hold in memory.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{LocalBoxStream, try_unfold};
use tokio::time::{Instant, timeout_at};

use crate::config::Limits;
use crate::memory::Held;
use crate::problem::Problem;

/// Pieces of a body, as forms are read from them.
pub(crate) type Pieces = LocalBoxStream<'static, Result<Bytes, PayloadError>>;

/// The pieces of a body of at most `limit` bytes; they are counted as `held`.
///
/// # Errors
/// If its headers say that it is longer, or compressed. The pieces fail with a [`Problem`] that [`problem`] finds.
pub(crate) fn pieces(
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
    held: Rc<Held>,
    limits: &Limits,
) -> Result<Pieces, Problem> {
    let headers = request.headers();
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is compressed; send it without Content-Encoding",
        ));
    }
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_long(limit));
    }
    let (pause, whole) = (limits.client, limits.patience());
    let end = Instant::now() + whole;
    let begin = (payload, 0usize);
    let stream = try_unfold(begin, move |(mut payload, so_far)| {
        let held = held.clone();
        async move {
            let deadline = end.min(Instant::now() + pause);
            let piece = timeout_at(deadline, payload.next()).await;
            let Some(piece) = piece.map_err(|_| failed(too_slow(pause, whole)))? else {
                return Ok(None);
            };
            let piece = piece?;
            let so_far = so_far + piece.len();
            if so_far > limit {
                return Err(failed(too_long(limit)));
            }
            held.take(piece.len()).map_err(failed)?;
            Ok(Some((piece, (payload, so_far))))
        }
    });
    Ok(stream.boxed_local())
}

/// All of a stream's bytes; `problem` says what is wrong with it.
pub(crate) async fn collect<E>(
    mut pieces: impl futures_util::Stream<Item = Result<Bytes, E>> + Unpin,
    problem: impl Fn(&E) -> Problem,
) -> Result<Vec<u8>, Problem> {
    let mut bytes = vec![];
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| problem(&error))?);
    }
    Ok(bytes)
}

/// What is wrong with a body that could not be read to its end.
pub(crate) fn problem(error: &PayloadError) -> Problem {
    match error {
        PayloadError::Io(error) => {
            let own = error.get_ref().and_then(|it| it.downcast_ref::<Problem>());
            own.cloned().unwrap_or_else(|| incomplete(error))
        }
        other => incomplete(other),
    }
}

fn incomplete(error: &dyn std::error::Error) -> Problem {
    Problem::bad_request(format!("the body did not come whole: {error}"))
}

fn failed(problem: Problem) -> PayloadError {
    PayloadError::Io(io::Error::other(problem))
}

fn too_long(limit: usize) -> Problem {
    Problem::too_large(format!("the body is longer than {limit} bytes"))
}

fn too_slow(pause: Duration, whole: Duration) -> Problem {
    let detail =
        format!("the body did not come in time: it may pause for {pause:?}, and take {whole:?}");
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}
