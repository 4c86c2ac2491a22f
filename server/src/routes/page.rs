//! The page: files that are built into the program, and nothing from elsewhere.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{self, ServiceConfig};

/// Path, media type and bytes of each file.
const FILES: [(&str, &str, &str); 3] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../../page/index.html"),
    ),
    (
        "/page.css",
        "text/css; charset=utf-8",
        include_str!("../../page/page.css"),
    ),
    (
        "/page.js",
        "text/javascript; charset=utf-8",
        include_str!("../../page/page.js"),
    ),
];

pub(super) fn configure(config: &mut ServiceConfig) {
    for (path, media_type, text) in FILES {
        let answer = move || async move {
            HttpResponse::Ok()
                .content_type(media_type)
                .insert_header((CACHE_CONTROL, "no-cache"))
                .body(text)
        };
        config.route(path, web::get().to(answer));
    }
}

/// The description of the API to browse lies in a folder.
pub(super) async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}
