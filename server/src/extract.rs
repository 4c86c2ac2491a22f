//! Parameters and JSON of requests. What is wrong with them is told by name.

use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::future::{LocalBoxFuture, Ready, ready};
use serde::de::DeserializeOwned;

use crate::body;
use crate::problem::Problem;
use crate::state::State;

/// The query of a request's target.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for Params<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs = form_urlencoded::parse(request.query_string().as_bytes());
        let read = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
        ready(read.map(Self).map_err(|error| named(&error)))
    }
}

/// The JSON that a request has as its body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move { Ok(Self(read(&request, payload).await?)) })
    }
}

async fn read<T: DeserializeOwned>(request: &HttpRequest, payload: Payload) -> Result<T, Problem> {
    let Some(state) = request.app_data::<Data<State>>() else {
        return Err(Problem::internal("a route without a state"));
    };
    if !request
        .content_type()
        .eq_ignore_ascii_case("application/json")
    {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON, with `Content-Type: application/json`",
        ));
    }
    let held = Rc::new(state.memory.hold());
    let limits = &state.config.limits;
    let pieces = body::pieces(request, payload, limits.json_bytes, held.clone(), limits)?;
    let bytes = body::collect(pieces, body::problem).await?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| named(&error))?;
    json.end()
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(value)
}

/// An error with the name of the field it is about, unless it says that itself.
fn named<E: std::error::Error>(error: &serde_path_to_error::Error<E>) -> Problem {
    let (path, what) = (error.path().to_string(), error.inner().to_string());
    Problem::bad_request(match path.as_str() {
        "." | "?" => what,
        path if what.contains(&format!("`{path}`")) => what,
        path => format!("{path}: {what}"),
    })
}
