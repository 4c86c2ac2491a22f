//! The page: files that are built into the program, and nothing from elsewhere.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;

/// A file of the page.
pub(super) struct File {
    pub(super) path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// All of them.
pub(super) static FILES: [File; 3] = [
    File {
        path: "/",
        media_type: "text/html; charset=utf-8",
        text: include_str!("../../page/index.html"),
    },
    File {
        path: "/page.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("../../page/page.css"),
    },
    File {
        path: "/page.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../page/page.js"),
    },
];

impl File {
    pub(super) fn answer(&self) -> HttpResponse {
        HttpResponse::Ok()
            .content_type(self.media_type)
            .insert_header((CACHE_CONTROL, "no-cache"))
            .body(self.text)
    }
}
