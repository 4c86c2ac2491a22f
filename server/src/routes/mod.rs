//! One file a route.

mod docs;
pub(crate) mod embed;
pub(crate) mod health;
pub(crate) mod images;
pub(crate) mod info;
mod openapi;
mod page;
pub(crate) mod records;
pub(crate) mod reverse;
pub(crate) mod search;
pub(crate) mod similar;

use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{Error, HttpResponse, Resource, ResponseError, Route, guard, web};
use unprompt_index::Filter;
use utoipa::ToSchema;

use crate::config::Limits;
use crate::problem::Problem;

/// Hits of a request that does not say how many.
const DEFAULT_HITS: usize = 10;

/// Puts every route in its place.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let path = web::PathConfig::default().error_handler(|error, _| refused(&error));
    config
        .app_data(path)
        .service(posting("/v1/reverse").route(web::post().to(reverse::post)))
        .service(
            resource("/v1/search", "GET, HEAD, POST")
                .route(get().to(search::get))
                .route(web::post().to(search::post)),
        )
        .service(posting("/v1/similar").route(web::post().to(similar::post)))
        .service(posting("/v1/embed").route(web::post().to(embed::post)))
        .service(getting("/v1/records/{id}").route(get().to(records::get)))
        .service(getting("/v1/images/{image_name:.+}").route(get().to(images::get)))
        .service(getting("/v1/info").route(get().to(info::get)))
        .service(getting("/health").route(get().to(health::health)))
        .service(getting("/ready").route(get().to(health::ready)))
        .service(getting("/metrics").route(get().to(health::metrics)))
        .service(getting("/openapi.json").route(get().to(docs::description)))
        .service(getting("/docs").route(get().to(docs::folder)))
        .service(getting("/docs/{file:.*}").route(get().to(docs::file)));
    for file in &page::FILES {
        let answer = move || async move { file.answer() };
        config.service(getting(file.path).route(get().to(answer)));
    }
    config.default_service(web::to(unknown));
}

/// GET, and HEAD with it: an answer to that is sent without its body.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

fn getting(path: &str) -> Resource {
    resource(path, "GET, HEAD")
}

fn posting(path: &str) -> Resource {
    resource(path, "POST")
}

/// What lies at a path. Other methods than those of its routes are told which they are.
fn resource(path: &str, allowed: &'static str) -> Resource {
    let wrong_method = move || async move {
        let detail = format!("this route knows {allowed}");
        let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).error_response();
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
        response
    };
    web::resource(path.to_owned()).default_service(web::to(wrong_method))
}

async fn unknown() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found(
        "there is no such route; /docs lists those there are",
    ))
}

fn refused(error: &dyn std::error::Error) -> Error {
    let problem = Problem::bad_request(error.to_string());
    let response = problem.error_response();
    InternalError::from_response(problem, response).into()
}

/// The bytes of an image file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes a body")]
struct ImageBytes(Vec<u8>);

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

/// A text that is not blank.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

/// A filter read, which is work for behind the gate: the longest take milliseconds.
fn filter(text: Option<&str>, limits: &Limits) -> Result<Option<Filter>, Problem> {
    let Some(text) = given(text) else {
        return Ok(None);
    };
    within(text, limits)?;
    Ok(Some(Filter::parse(text)?))
}

/// A text within the limit.
fn text(text: &str, limits: &Limits) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(Problem::bad_request("the text is empty"));
    }
    within(text, limits)
}

fn within(text: &str, limits: &Limits) -> Result<(), Problem> {
    if text.len() > limits.text_bytes {
        let most = limits.text_bytes;
        return Err(Problem::too_large(format!(
            "a text is longer than {most} bytes"
        )));
    }
    Ok(())
}
