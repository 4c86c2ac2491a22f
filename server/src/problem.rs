//! Errors as clients get them: `application/problem+json` (RFC 9457).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use unprompt::error::one_line;
use utoipa::ToSchema;

/// The media type of problems.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Seconds after which somebody who was refused may try again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// What went wrong, and for which status.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A URI of the kind of problem; `about:blank` where the status says it all.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// What the log is told beside it.
    #[serde(skip)]
    cause: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            cause: None,
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// Too many are waiting already.
    pub(crate) fn busy() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many requests are waiting; try again in a moment",
        )
    }

    /// This server has nothing that looks at images.
    pub(crate) fn no_model() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "this server was started without an image model",
        )
    }

    /// An image without a prompt was sent to a server that has only texts to go by.
    pub(crate) fn carries_nothing() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "the file carries no prompt, and this server was started without an image model",
        )
    }

    /// What a client cannot help. It is told in general terms, and the log has the cause.
    pub(crate) fn internal(cause: impl fmt::Display) -> Self {
        let detail = "the server failed; its log says why";
        Self {
            cause: Some(cause.to_string()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
        }
    }

    /// What the log is to be told beside the detail.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.code());
        response.insert_header((CONTENT_TYPE, MEDIA_TYPE));
        if self.code() == StatusCode::TOO_MANY_REQUESTS {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        if self.code() == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        // Four short fields always encode.
        response.body(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl From<unprompt::Error> for Problem {
    fn from(error: unprompt::Error) -> Self {
        use unprompt::Error as E;
        use unprompt_index::Error as I;
        let detail = one_line(&error);
        match error {
            E::ImageDecode { .. } => Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail),
            E::ImageTooLarge { .. } | E::ImageFileTooLarge { .. } => Self::too_large(detail),
            E::Index(I::Filter { .. }) => Self::bad_request(detail),
            _ => Self::internal(detail),
        }
    }
}

impl From<unprompt_index::Error> for Problem {
    fn from(error: unprompt_index::Error) -> Self {
        unprompt::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_have_the_promised_form() {
        let problem = Problem::not_found("no such record");
        assert_eq!(
            serde_json::to_string(&problem).unwrap(),
            "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"no such record\"}"
        );
        let response = Problem::busy().error_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "1");
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), MEDIA_TYPE);
    }
}
