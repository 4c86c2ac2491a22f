//! What every request passes on its way in, and every answer on its way out.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError, web};
use subtle::ConstantTimeEq;

use crate::config::Config;
use crate::problem::Problem;
use crate::state::State;

/// The id of a request: the client's, or one of ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters that a client's id may have.
const MAX_ID: usize = 64;

/// Nothing is loaded from elsewhere, framed by others, or taken for what it is not.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Checks host, origin and key, answers, and adds headers, metrics and a line of the log.
pub(crate) async fn around(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let start = Instant::now();
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match admit(&request, &state.config) {
        Ok(()) if is_preflight(&request) => {
            request.into_response(HttpResponse::NoContent().finish())
        }
        Ok(()) => held(next.call(request).await?.map_into_boxed_body(), &state),
        Err(problem) => request.into_response(problem.error_response()),
    };
    let status = response.status().as_u16();
    // Not the path, which may be anything.
    let route = response.request().match_pattern();
    let failure = response.response().error();
    let cause = failure.and_then(|error| error.as_error::<Problem>()?.cause());
    if let Some(cause) = cause {
        tracing::error!(%method, path, id, "{cause}");
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    allow_origin(headers, origin, &state.config);
    let took = start.elapsed();
    let route = route.map_or_else(|| "other".to_owned(), |route| plain(&route));
    state.metrics.request(route, known(&method), status, took);
    tracing::info!(%method, path, status, ms = took.as_millis() as u64, id, "request");
    Ok(response)
}

/// An answer that counts as held until it is sent, or that there is no room for it.
fn held(response: ServiceResponse<BoxBody>, state: &State) -> ServiceResponse<BoxBody> {
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let response = match state.memory.held_while_sent(body) {
        Ok(body) => head.set_body(body),
        Err(problem) => problem.error_response(),
    };
    ServiceResponse::new(request, response)
}

fn admit(request: &ServiceRequest, config: &Config) -> Result<(), Problem> {
    // A page of elsewhere may have a name that was made to lead here. What a proxy says of it in other headers, that
    // page could say as well.
    let host = text(request, &header::HOST);
    let hosts = &config.hosts;
    if (config.bind.ip().is_loopback() || !hosts.is_empty())
        && !is_local(host)
        && !hosts.iter().any(|it| it.eq_ignore_ascii_case(name(host)))
    {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this server answers to localhost; start it with --host to have it answer to another name, too",
        ));
    }
    // The path that the router goes by, its escapes decoded: `request.path()` still has them, and `/%761/search` would
    // pass for another route.
    if !request.match_info().as_str().starts_with("/v1/") {
        return Ok(());
    }
    if is_foreign(request, config) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "pages of other origins may not ask this server; --cors-origin lets one of them",
        ));
    }
    let Some(key) = &config.api_key else {
        return Ok(());
    };
    let given = text(request, &header::AUTHORIZATION).split_once(' ');
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    // As long for a key that is wrong at its end as for one that is wrong at its beginning.
    match given {
        _ if is_preflight(request) => Ok(()),
        Some((_, given)) if bool::from(given.trim().as_bytes().ct_eq(key.as_bytes())) => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "this server wants the header `Authorization: Bearer KEY`",
        )),
    }
}

/// Whether a page of elsewhere asks, by what browsers say of it. To follow a link from there is no question of the
/// page's, and it does not see the answer.
fn is_foreign(request: &ServiceRequest, config: &Config) -> bool {
    let origin = text(request, &header::ORIGIN);
    if config.cors_origin.as_deref() == Some(origin) {
        return false;
    }
    let fetch = |name| text(request, &HeaderName::from_static(name));
    match fetch("sec-fetch-site") {
        "same-origin" | "none" => false,
        // Browsers do not say it over plain HTTP, but to this machine.
        "" => {
            let own = |host: &str| origin.split_once("://").is_some_and(|(_, it)| it == host);
            !origin.is_empty()
                && !own(text(request, &header::HOST))
                && !config.hosts.iter().any(|host| own(host))
        }
        _ => !(request.method() == Method::GET && fetch("sec-fetch-mode") == "navigate"),
    }
}

/// Whether a browser asks what a page may ask.
fn is_preflight(request: &ServiceRequest) -> bool {
    let asked = &header::ACCESS_CONTROL_REQUEST_METHOD;
    request.method() == Method::OPTIONS && request.headers().contains_key(asked)
}

fn text<'a>(request: &'a ServiceRequest, name: &HeaderName) -> &'a str {
    let value = request.headers().get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// A method by its name, of which there are but a few.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A route without the patterns of its parameters.
fn plain(route: &str) -> String {
    let mut pieces = route.split('{');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (parameter, rest) = piece.split_once('}').unwrap_or((piece, ""));
        let name = parameter.split(':').next().unwrap_or_default();
        plain.push_str(&format!("{{{name}}}{rest}"));
    }
    plain
}

/// Whether a host is this machine by name or number, with or without a port.
fn is_local(host: &str) -> bool {
    let name = name(host).trim_start_matches('[').trim_end_matches(']');
    let number = name.parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || number.is_ok_and(|number| number.is_loopback())
}

/// A host without its port.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    match given {
        Some(id) if (1..=MAX_ID).contains(&id.len()) && id.chars().all(plain) => id.to_owned(),
        _ => format!("{:016x}", rand::random::<u64>()),
    }
}

fn allow_origin(headers: &mut HeaderMap, origin: Option<HeaderValue>, config: &Config) {
    let Some(allowed) = &config.cors_origin else {
        return;
    };
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin.filter(|origin| origin == allowed.as_str()) else {
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, x-request-id",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "x-request-id"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:9",
            "[::1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "evil.org",
            "localhost.evil.org:80",
            "10.0.0.1",
            "127.0.0.1.evil.org",
            "",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn routes_are_told_without_patterns() {
        for (route, as_told) in [
            ("/v1/info", "/v1/info"),
            ("/v1/records/{id}", "/v1/records/{id}"),
            ("/v1/images/{image_name:.+}", "/v1/images/{image_name}"),
            ("/docs/{_:.*}", "/docs/{_}"),
        ] {
            assert_eq!(plain(route), as_told);
        }
    }

    #[test]
    fn ids_of_clients_are_kept_if_they_are_plain() {
        let id = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(value).unwrap());
            request_id(&headers)
        };
        assert_eq!(id("a-1_b.C"), "a-1_b.C");
        for other in ["", "a b", "x\"", &"a".repeat(MAX_ID + 1)] {
            assert_eq!(id(other).len(), 16, "{other}");
        }
    }
}
