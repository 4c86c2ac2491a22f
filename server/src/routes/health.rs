//! `/health`, `/ready` and `/metrics`, for those who look after the server.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::metrics::MEDIA_TYPE;
use crate::problem::Problem;
use crate::state::State;

/// Whether the process answers.
#[utoipa::path(get, path = "/health", responses((status = 200)))]
pub(crate) async fn health() -> HttpResponse {
    HttpResponse::Ok().body("ok")
}

/// Whether searches can be answered.
#[utoipa::path(get, path = "/ready", responses((status = 200), (status = 503)))]
pub(crate) async fn ready(state: Data<State>) -> HttpResponse {
    let stats = &state.snapshot().stats;
    HttpResponse::Ok().body(format!("ready, generation {}", stats.generation))
}

/// Counters and histograms for Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String)))]
pub(crate) async fn metrics(state: Data<State>) -> Result<HttpResponse, Problem> {
    let text = state.metrics.text();
    let text = text.map_err(|error| Problem::internal(&error))?;
    Ok(HttpResponse::Ok().content_type(MEDIA_TYPE).body(text))
}
