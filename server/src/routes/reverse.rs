//! `/v1/reverse`: an image in, its prompt out.

use std::rc::Rc;
use std::time::Instant;

use actix_multipart::{Multipart, MultipartError};
use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpMessage, HttpRequest, dev};
use futures_util::StreamExt;
use serde::Deserialize;
use unprompt::reverse::{Opened, ReverseAnswer, ReverseOptions, answer_carried};
use utoipa::{IntoParams, ToSchema};

use super::{ImageBytes, filter, hits};
use crate::body;
use crate::config::Limits;
use crate::extract::Params;
use crate::memory::Held;
use crate::problem::Problem;
use crate::state::State;

/// The media type of forms with files.
const FORM: &str = "multipart/form-data";

/// Settings of a reversal.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReverseQuery {
    /// Hits wanted, 10 by default.
    #[param(minimum = 1)]
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

/// What prompt made this image: a form with the field `image`, or the image as the body. Without an image model, what the file
/// carries is the answer.
#[utoipa::path(post, path = "/v1/reverse", operation_id = "reverse", params(ReverseQuery), security(("key" = [])),
    request_body(content((ReverseForm = "multipart/form-data"), (ImageBytes = "application/octet-stream"))), responses(
    (status = 200, description = "The answer", body = ReverseAnswer),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json"),
    (status = 501, description = "There is no image model, and no prompt that the file carries is there or wanted", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn post(
    state: Data<State>,
    Params(query): Params<ReverseQuery>,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<ReverseAnswer>, Problem> {
    let limits = state.config.limits;
    let mut options = ReverseOptions {
        k: hits(query.k, 0, &limits)?,
        use_metadata: query.metadata.unwrap_or(true),
        ..ReverseOptions::default()
    };
    // Before anything is read.
    if state.predictor().is_none() && !options.use_metadata {
        return Err(Problem::no_model());
    }
    let held = Rc::new(state.memory.hold());
    let (name, bytes) = image(&request, payload.into_inner(), &held, &limits).await?;
    if state.predictor().is_none() {
        let read = move || {
            filter(query.filter.as_deref(), &limits)?;
            answer_carried(&name, &bytes).ok_or_else(Problem::carries_nothing)
        };
        let answer = state.gate.run(read).await?;
        state.metrics.stage("decode", answer.took_ms.decode);
        return Ok(Json(answer));
    }
    let (shared, named) = (state.clone(), name.clone());
    let open = move || {
        options.filter = filter(query.filter.as_deref(), &limits)?;
        let mut opened = Opened::read(&named, &bytes, options.use_metadata)?;
        let pixels = opened.pixels.take();
        let pixels = pixels.zip(shared.predictor());
        let pixels = pixels.map(|(pixels, predictor)| predictor.shrink(pixels));
        Ok((options, opened, pixels))
    };
    let (mut options, opened, pixels) = state.gate.run(open).await?;
    state.metrics.stage("decode", opened.took_ms);
    // The file is done with; what waits now is its pixels.
    drop(held);
    let start = Instant::now();
    let prediction = match pixels {
        Some(pixels) => Some(state.predict(pixels).await?),
        None => None,
    };
    let encode = start.elapsed().as_secs_f64() * 1e3;
    let snapshot = state.snapshot();
    let shared = state.clone();
    let look_up = move || {
        options.reconstruct = shared.gate.share(shared.config.reconstruct);
        let prediction = prediction.as_ref();
        let reverser = snapshot.reverser()?;
        Ok(reverser.answer(&name, opened, prediction, &options)?)
    };
    let mut answer = state.gate.finish(look_up).await?;
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
    payload: dev::Payload,
    held: &Rc<Held>,
    limits: &Limits,
) -> Result<(String, Vec<u8>), Problem> {
    let most = limits.image_bytes;
    if !request.content_type().eq_ignore_ascii_case(FORM) {
        let pieces = body::pieces(request, payload, most, held.clone(), limits)?;
        let bytes = body::collect(pieces, body::problem).await?;
        return Ok(("image".to_owned(), bytes));
    }
    let pieces = body::pieces(request, payload, limits.form_bytes(), held.clone(), limits)?;
    let mut form = Multipart::new(request.headers(), pieces);
    while let Some(field) = form.next().await {
        let mut field = field.map_err(|error| in_form(&error))?;
        if field.name() != Some("image") {
            while let Some(piece) = field.next().await {
                piece.map_err(|error| in_form(&error))?;
            }
            continue;
        }
        let disposition = field.content_disposition();
        let name = disposition.and_then(|it| it.get_filename());
        let name = name.unwrap_or("image").to_owned();
        return Ok((name, body::collect(field, in_form).await?));
    }
    Err(Problem::bad_request(
        "the form has no field `image` with an image in it",
    ))
}

fn in_form(error: &MultipartError) -> Problem {
    match error {
        MultipartError::Payload(error) => body::problem(error),
        other => Problem::bad_request(format!("the form: {other}")),
    }
}
