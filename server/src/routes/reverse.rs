//! `/v1/reverse`: an image in, its prompt out.

use std::fmt::Display;
use std::time::Instant;

use actix_multipart::Multipart;
use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Bytes;
use actix_web::web::{Data, Json, Payload, Query};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use unprompt::reverse::{Opened, ReverseAnswer, ReverseOptions};
use utoipa::{IntoParams, ToSchema};

use super::{filter, hits};
use crate::problem::Problem;
use crate::state::State;

/// Settings of a reversal.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReverseQuery {
    /// Hits wanted, 10 by default.
    #[serde(alias = "limit")]
    k: Option<usize>,
    /// Only prompts and images that match.
    filter: Option<String>,
    /// Whether a prompt that the file carries is the answer; it is by default.
    metadata: Option<bool>,
}

/// A form with an image.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read piece by piece")]
pub(crate) struct ReverseForm {
    /// PNG, JPEG, WebP, GIF or BMP.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}

/// What prompt made this image: a form with the field `image`, or the image as the body.
#[utoipa::path(post, path = "/v1/reverse", params(ReverseQuery), security(("key" = [])),
    request_body(content((ReverseForm = "multipart/form-data"), (Vec<u8> = "application/octet-stream"))), responses(
    (status = 200, body = ReverseAnswer),
    (status = "4XX", body = Problem, content_type = "application/problem+json")
))]
pub(crate) async fn post(
    state: Data<State>,
    query: Query<ReverseQuery>,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<ReverseAnswer>, Problem> {
    let options = ReverseOptions {
        k: hits(query.k, 0, &state.config.limits)?,
        filter: filter(query.filter.as_deref())?,
        use_metadata: query.metadata.unwrap_or(true),
        reconstruct: state.config.reconstruct,
        ..ReverseOptions::default()
    };
    let (name, bytes) = image(&request, payload, state.config.limits.image_bytes).await?;
    let (use_metadata, named) = (options.use_metadata, name.clone());
    let open = move || Ok(Opened::read(&named, &bytes, use_metadata)?);
    let mut opened = state.gate.run(open).await?;
    state.metrics.stage("decode", opened.took_ms);
    let start = Instant::now();
    let prediction = match opened.pixels.take() {
        Some(pixels) => Some(state.predict(pixels).await?),
        None => None,
    };
    let encode = start.elapsed().as_secs_f64() * 1e3;
    state.metrics.stage("encode", encode);
    let snapshot = state.snapshot();
    let look_up = move || {
        let prediction = prediction.as_ref();
        Ok(snapshot
            .reverser
            .answer(&name, opened, prediction, &options)?)
    };
    let mut answer = state.gate.run(look_up).await?;
    answer.took_ms.encode = encode;
    state.metrics.stage("search", answer.took_ms.search);
    state
        .metrics
        .stage("reconstruct", answer.took_ms.reconstruct);
    Ok(Json(answer))
}

/// Name and bytes of the image of a request.
async fn image(
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<(String, Vec<u8>), Problem> {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/") {
        let bytes = collect(payload, limit).await?;
        return Ok(("image".to_owned(), bytes));
    }
    let mut form = Multipart::new(request.headers(), payload);
    while let Some(field) = form.next().await {
        let field = field.map_err(|error| Problem::bad_request(format!("the form: {error}")))?;
        if field.name() != Some("image") {
            let _ = collect(field, limit).await?;
            continue;
        }
        let disposition = field.content_disposition();
        let name = disposition.and_then(|it| it.get_filename());
        let name = name.unwrap_or("image").to_owned();
        return Ok((name, collect(field, limit).await?));
    }
    Err(Problem::bad_request(
        "the form has no field `image` with an image in it",
    ))
}

/// All bytes of a stream, if they are no more than `limit`.
async fn collect<E: Display>(
    mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
    limit: usize,
) -> Result<Vec<u8>, Problem> {
    let mut bytes = vec![];
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| Problem::bad_request(format!("the body: {error}")))?;
        if bytes.len() + piece.len() > limit {
            let detail = format!("the image is longer than {limit} bytes");
            return Err(Problem::too_large(detail));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
