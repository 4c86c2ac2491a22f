//! `/health`, `/ready` and `/metrics`, for those who look after the server.

use actix_web::http::header::ACCEPT;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::metrics::{MEDIA_TYPE, OLD_MEDIA_TYPE};
use crate::problem::Problem;
use crate::state::State;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Whether the process answers.
#[utoipa::path(get, path = "/health", operation_id = "health", responses(
    (status = 200, description = "It does", body = String, content_type = "text/plain"),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn health() -> HttpResponse {
    HttpResponse::Ok().content_type(PLAIN).body("ok")
}

/// Whether searches can be answered.
#[utoipa::path(get, path = "/ready", operation_id = "ready", responses(
    (status = 200, description = "They can", body = String, content_type = "text/plain"),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn ready(state: Data<State>) -> HttpResponse {
    let stats = &state.snapshot().stats;
    HttpResponse::Ok()
        .content_type(PLAIN)
        .body(format!("ready, generation {}", stats.generation))
}

/// Counters and histograms for Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", responses(
    (status = 200, description = "OpenMetrics, or the older text format",
        content((String = "application/openmetrics-text"), (String = "text/plain"))),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn metrics(
    state: Data<State>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let text = state.metrics.text().map_err(Problem::internal)?;
    let accepted = request.headers().get(ACCEPT);
    let accepted = accepted.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let media_type = match accepted.contains("application/openmetrics-text") {
        true => MEDIA_TYPE,
        false => OLD_MEDIA_TYPE,
    };
    Ok(HttpResponse::Ok().content_type(media_type).body(text))
}
