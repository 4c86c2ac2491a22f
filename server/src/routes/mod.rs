//! One file a route.

pub(crate) mod embed;
pub(crate) mod health;
pub(crate) mod images;
pub(crate) mod info;
mod openapi;
pub(crate) mod page;
pub(crate) mod records;
pub(crate) mod reverse;
pub(crate) mod search;
pub(crate) mod similar;

use actix_web::error::{InternalError, JsonPayloadError};
use actix_web::http::StatusCode;
use actix_web::{Error, HttpResponse, ResponseError, web};
use unprompt_index::Filter;
use utoipa::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use self::openapi::Api;
use crate::config::Limits;
use crate::problem::Problem;

/// Hits of a request that does not say how many.
const DEFAULT_HITS: usize = 10;

/// Puts every route in its place.
pub(crate) fn configure(config: &mut web::ServiceConfig, limits: &Limits) {
    let query = web::QueryConfig::default().error_handler(|error, _| refused(&error));
    let path = web::PathConfig::default().error_handler(|error, _| refused(&error));
    let bytes = limits.json_bytes;
    let json = web::JsonConfig::default()
        .limit(bytes)
        .error_handler(move |error, _| match error {
            JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
                let detail = format!("the body is longer than {bytes} bytes");
                wrapped(Problem::too_large(detail))
            }
            JsonPayloadError::ContentType => wrapped(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON, with `Content-Type: application/json`",
            )),
            other => refused(&other),
        });
    let only =
        |resource: &str| web::resource(resource.to_owned()).default_service(web::to(wrong_method));
    config
        .app_data(query)
        .app_data(path)
        .app_data(json)
        .service(only("/v1/reverse").route(web::post().to(reverse::post)))
        .service(
            only("/v1/search")
                .route(web::get().to(search::get))
                .route(web::post().to(search::post)),
        )
        .service(only("/v1/similar").route(web::post().to(similar::post)))
        .service(only("/v1/embed").route(web::post().to(embed::post)))
        .service(only("/v1/records/{id}").route(web::get().to(records::get)))
        .service(only("/v1/images/{image_name:.+}").route(web::get().to(images::get)))
        .service(only("/v1/info").route(web::get().to(info::get)))
        .service(only("/health").route(web::get().to(health::health)))
        .service(only("/ready").route(web::get().to(health::ready)))
        .service(only("/metrics").route(web::get().to(health::metrics)))
        .service(only("/docs").route(web::get().to(page::docs)))
        .service(SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", Api::openapi()));
    page::configure(config);
    config.default_service(web::to(unknown));
}

async fn unknown() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found(
        "there is no such route; /docs lists those there are",
    ))
}

async fn wrong_method() -> Result<HttpResponse, Problem> {
    Err(Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this route does not know that method; /docs lists those it does",
    ))
}

fn refused(error: &dyn std::error::Error) -> Error {
    wrapped(Problem::bad_request(error.to_string()))
}

fn wrapped(problem: Problem) -> Error {
    let response = problem.error_response();
    InternalError::from_response(problem, response).into()
}

/// The hits that are asked for, those left out included, within the limit.
fn hits(k: Option<usize>, offset: usize, limits: &Limits) -> Result<usize, Problem> {
    let k = k.unwrap_or(DEFAULT_HITS);
    if k == 0 || k.saturating_add(offset) > limits.hits {
        let most = limits.hits;
        let detail = format!("k must be at least 1, and k and offset together at most {most}");
        return Err(Problem::bad_request(detail));
    }
    Ok(k)
}

fn filter(text: Option<&str>) -> Result<Option<Filter>, Problem> {
    let text = text.filter(|text| !text.trim().is_empty());
    Ok(text.map(Filter::parse).transpose()?)
}

/// A text within the limit.
fn text(text: &str, limits: &Limits) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(Problem::bad_request("the text is empty"));
    }
    if text.len() > limits.text_bytes {
        let most = limits.text_bytes;
        return Err(Problem::too_large(format!(
            "a text is longer than {most} bytes"
        )));
    }
    Ok(())
}
