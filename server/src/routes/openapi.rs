//! The API described: OpenAPI 3.1, from the types and routes themselves.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{embed, health, images, info, records, reverse, search, similar};

/// All of it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "unprompt",
        description = "What prompt made this image? Errors are application/problem+json (RFC 9457). With a key, \
                       every route below /v1 wants it as a bearer token."
    ),
    paths(
        reverse::post,
        search::get,
        search::post,
        similar::post,
        embed::post,
        records::get,
        images::get,
        info::get,
        health::health,
        health::ready,
        health::metrics,
    ),
    modifiers(&Key)
)]
pub(crate) struct Api;

struct Key;

impl Modify for Key {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("key", bearer);
    }
}
