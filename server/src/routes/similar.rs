//! `/v1/similar`: more like a record.

use actix_web::web::{Data, Json};
use serde::Deserialize;
use unprompt::search::{SearchAnswer, SearchOptions, similar};
use unprompt_index::PromptId;
use utoipa::ToSchema;

use super::{filter, hits, records};
use crate::extract::JsonBody;
use crate::problem::Problem;
use crate::state::State;

/// What it is to be like.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimilarQuery {
    /// The id of a record, as hits have it.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    id: PromptId,
    /// Hits wanted, 10 by default.
    #[schema(minimum = 1)]
    #[serde(alias = "limit")]
    k: Option<usize>,
    /// Best hits to leave out.
    #[serde(default)]
    offset: usize,
    /// Only prompts and images that match.
    filter: Option<String>,
}

/// Prompts near to one of the index, without itself.
#[utoipa::path(post, path = "/v1/similar", operation_id = "similar", request_body = SimilarQuery, security(("key" = [])), responses(
    (status = 200, description = "The hits", body = SearchAnswer),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn post(
    state: Data<State>,
    JsonBody(query): JsonBody<SimilarQuery>,
) -> Result<Json<SearchAnswer>, Problem> {
    let limits = state.config.limits;
    let k = hits(query.k, query.offset, &limits)?;
    let snapshot = state.snapshot();
    let work = move || {
        let options = SearchOptions {
            k,
            offset: query.offset,
            filter: filter(query.filter.as_deref(), &limits)?,
            ..SearchOptions::default()
        };
        let entry = records::find(snapshot.index(), query.id)?;
        Ok(similar(snapshot.index(), entry, &options)?)
    };
    let answer = state.gate.run(work).await?;
    state.metrics.stage("search", answer.took_ms);
    Ok(Json(answer))
}
