//! `/v1/info`: what is loaded.

use actix_web::web::{Data, Json};
use serde::Serialize;
use unprompt_index::Stats;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::State;
use crate::thumbnails::MAX_SIZE;

/// What is loaded, and what may be asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Info {
    /// Version of the program.
    version: &'static str,
    /// The image model; null if only texts are answered, and images by what their files carry.
    model: Option<String>,
    /// The sentence encoder.
    sentence_encoder: String,
    /// Whether answers have a fitted confidence.
    has_confidence: bool,
    /// Whether images are shown.
    has_images: bool,
    /// The longest side of a thumbnail, in pixels.
    max_thumbnail: u32,
    /// The most hits.
    max_hits: usize,
    /// Bytes of the largest image.
    max_image_bytes: usize,
    /// The index.
    index: Stats,
}

/// What is loaded, and what may be asked for.
#[utoipa::path(get, path = "/v1/info", operation_id = "info", security(("key" = [])), responses(
    (status = 200, description = "All of it", body = Info),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn get(state: Data<State>) -> Json<Info> {
    let (predictor, limits) = (state.predictor(), &state.config.limits);
    Json(Info {
        version: env!("CARGO_PKG_VERSION"),
        model: predictor.map(|it| it.name().to_owned()),
        sentence_encoder: state.sentences().identity().name.clone(),
        has_confidence: predictor.is_some_and(|it| it.confidence().is_some()),
        has_images: state.thumbnails.is_some(),
        max_thumbnail: MAX_SIZE,
        max_hits: limits.hits,
        max_image_bytes: limits.image_bytes,
        index: state.snapshot().stats.clone(),
    })
}
