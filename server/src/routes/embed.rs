//! `/v1/embed`: sentence embeddings.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text;
use crate::extract::JsonBody;
use crate::problem::Problem;
use crate::state::State;

/// Texts to embed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbedQuery {
    /// The texts.
    texts: Vec<String>,
}

/// A unit vector for each text, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Embeddings {
    embeddings: Vec<Vec<f32>>,
}

/// Sentence embeddings of texts.
#[utoipa::path(post, path = "/v1/embed", operation_id = "embed", request_body = EmbedQuery, security(("key" = [])), responses(
    (status = 200, description = "The embeddings", body = Embeddings),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn post(
    state: Data<State>,
    JsonBody(EmbedQuery { texts }): JsonBody<EmbedQuery>,
) -> Result<Json<Embeddings>, Problem> {
    let limits = &state.config.limits;
    if texts.len() > limits.texts {
        let most = limits.texts;
        return Err(Problem::too_large(format!("more than {most} texts")));
    }
    texts.iter().try_for_each(|it| text(it, limits))?;
    let embeddings = state.embed_all(texts).await?;
    Ok(Json(Embeddings { embeddings }))
}
