//! `/v1/images/{image_name}`: an image, or a small one of it.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::Problem;
use crate::state::State;
use crate::thumbnails::MAX_SIZE;

/// How large.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageQuery {
    /// The longest side in pixels, at most 1024; the file itself without it.
    size: Option<u32>,
}

/// An image of the folder that the server was started with.
#[utoipa::path(get, path = "/v1/images/{image_name}", params(("image_name" = String, Path), ImageQuery),
    security(("key" = [])), responses(
    (status = 200, content_type = "image/*", body = Vec<u8>),
    (status = "4XX", body = Problem, content_type = "application/problem+json")
))]
pub(crate) async fn get(
    state: Data<State>,
    name: Path<String>,
    query: Query<ImageQuery>,
) -> Result<HttpResponse, Problem> {
    if state.thumbnails.is_none() {
        return Err(Problem::not_found(
            "this server was started without --images",
        ));
    }
    if query
        .size
        .is_some_and(|size| !(1..=MAX_SIZE).contains(&size))
    {
        let detail = format!("size must be from 1 to {MAX_SIZE}");
        return Err(Problem::bad_request(detail));
    }
    let shared = state.clone();
    let work = move || match &shared.thumbnails {
        Some(thumbnails) => thumbnails.get(&name, query.size),
        None => Err(Problem::not_found("there is no such image")),
    };
    let picture = state.gate.run(work).await?;
    Ok(HttpResponse::Ok()
        .content_type(picture.media_type)
        .insert_header((CACHE_CONTROL, "private, max-age=3600"))
        .body(picture.bytes.to_vec()))
}
