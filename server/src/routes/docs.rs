//! `/openapi.json`, and `/docs` to browse it: Swagger UI, out of the program and from nowhere else.

use std::sync::{Arc, LazyLock};

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;
use utoipa_swagger_ui::{Config, serve};

use super::openapi::Api;
use crate::problem::Problem;
use crate::state::State;

/// The API of a server with a key.
static LOCKED: LazyLock<Description> = LazyLock::new(Api::openapi);

/// That of one without.
static OPEN: LazyLock<Description> = LazyLock::new(|| {
    let mut description = LOCKED.clone();
    for path in description.paths.paths.values_mut() {
        for operation in [&mut path.get, &mut path.post].into_iter().flatten() {
            operation.security = None;
        }
    }
    description
});

/// The API described.
pub(super) async fn description(state: Data<State>) -> Json<&'static Description> {
    Json(match state.config.api_key {
        Some(_) => &LOCKED,
        None => &OPEN,
    })
}

/// Its files lie in a folder.
pub(super) async fn folder() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

/// One of its files.
pub(super) async fn file(path: Path<String>) -> Result<HttpResponse, Problem> {
    let config = Arc::new(Config::from("/openapi.json"));
    let file = serve(&path, config).map_err(Problem::internal)?;
    let file =
        file.ok_or_else(|| Problem::not_found("there is no such file; /docs/ is the first"))?;
    let mut response = HttpResponse::Ok();
    response.content_type(file.content_type);
    if file.gzpipped {
        response.insert_header(("content-encoding", "gzip"));
    }
    Ok(response.body(file.bytes.into_owned()))
}
