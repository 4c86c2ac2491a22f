//! `/v1/images/{image_name}`: an image, or a small one of it.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path};
use serde::Deserialize;
use unprompt::error::one_line;
use utoipa::IntoParams;

use crate::extract::Params;
use crate::problem::Problem;
use crate::state::State;
use crate::thumbnails::MAX_SIZE;

/// How large.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImageQuery {
    /// The longest side in pixels, at most 1024; the file itself without it.
    #[param(minimum = 1, maximum = 1024)]
    size: Option<u32>,
}

/// An image of the folder that the server was started with.
#[utoipa::path(get, path = "/v1/images/{image_name}", operation_id = "image", params(("image_name" = String, Path), ImageQuery),
    security(("key" = [])), responses(
    (status = 200, description = "The image", content_type = "image/*", body = super::ImageBytes),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn get(
    state: Data<State>,
    name: Path<String>,
    Params(query): Params<ImageQuery>,
) -> Result<HttpResponse, Problem> {
    let Some(thumbnails) = state.thumbnails.clone() else {
        return Err(Problem::not_found(
            "this server was started without --images",
        ));
    };
    if query
        .size
        .is_some_and(|size| !(1..=MAX_SIZE).contains(&size))
    {
        let detail = format!("size must be from 1 to {MAX_SIZE}");
        return Err(Problem::bad_request(detail));
    }
    let snapshot = state.snapshot();
    let work = move || {
        let part = || match snapshot.index().image(&name) {
            Ok(image) => image?.part_id,
            Err(error) => {
                tracing::error!("{}", one_line(&error));
                None
            }
        };
        thumbnails.get(&name, query.size, part)
    };
    let picture = state.gate.run(work).await?;
    Ok(HttpResponse::Ok()
        .content_type(picture.media_type)
        .insert_header((CACHE_CONTROL, "private, max-age=60"))
        .body(picture.bytes))
}
