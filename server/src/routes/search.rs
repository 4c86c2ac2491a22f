//! `/v1/search`: text in, prompts and their images out.

use std::time::Instant;

use actix_web::web::{Data, Json};
use serde::Deserialize;
use unprompt::search::{Mode, SearchAnswer, SearchOptions, listed, search_embedded};
use utoipa::{IntoParams, ToSchema};

use super::{filter, given, hits, text};
use crate::extract::{JsonBody, Params};
use crate::problem::Problem;
use crate::state::State;

/// A search.
#[derive(Clone, Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// The text; without one, all that matches the filter is listed.
    #[serde(default)]
    q: String,
    /// Hits wanted, 10 by default.
    #[schema(minimum = 1)]
    #[param(minimum = 1)]
    #[serde(alias = "limit")]
    k: Option<usize>,
    /// What is compared, `hybrid` by default.
    #[serde(default)]
    mode: Mode,
    /// Only prompts and images that match, as `cfg:[7 TO 12] AND -prompt:anime`.
    filter: Option<String>,
    /// Best hits to leave out.
    #[serde(default)]
    offset: usize,
    /// Leaves out hits with a smaller score; a listing has no scores.
    min_score: Option<f32>,
}

/// Prompts that match a text, with their images.
#[utoipa::path(get, path = "/v1/search", operation_id = "search", params(SearchQuery), security(("key" = [])), responses(
    (status = 200, description = "The hits", body = SearchAnswer),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn get(
    state: Data<State>,
    Params(query): Params<SearchQuery>,
) -> Result<Json<SearchAnswer>, Problem> {
    answer(&state, query).await
}

/// Prompts that match a text, with their images.
#[utoipa::path(post, path = "/v1/search", operation_id = "search_json", request_body = SearchQuery, security(("key" = [])), responses(
    (status = 200, description = "The hits", body = SearchAnswer),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn post(
    state: Data<State>,
    JsonBody(query): JsonBody<SearchQuery>,
) -> Result<Json<SearchAnswer>, Problem> {
    answer(&state, query).await
}

async fn answer(state: &State, query: SearchQuery) -> Result<Json<SearchAnswer>, Problem> {
    let start = Instant::now();
    let limits = state.config.limits;
    let is_listing = given(Some(&query.q)).is_none() && given(query.filter.as_deref()).is_some();
    if !is_listing {
        text(&query.q, &limits)?;
    }
    let k = hits(query.k, query.offset, &limits)?;
    let vector = match query.mode {
        _ if is_listing => None,
        Mode::Keyword => None,
        Mode::Hybrid | Mode::Vector => Some(state.embed(query.q.clone()).await?),
    };
    let snapshot = state.snapshot();
    let work = move || {
        let options = SearchOptions {
            mode: query.mode,
            k,
            offset: query.offset,
            min_score: query.min_score,
            filter: filter(query.filter.as_deref(), &limits)?,
            ..SearchOptions::default()
        };
        let index = snapshot.index();
        Ok(match is_listing {
            true => listed(index, &options)?,
            false => search_embedded(index, &query.q, vector, &options)?,
        })
    };
    let mut answer = state.gate.run(work).await?;
    state.metrics.stage("search", answer.took_ms);
    answer.took_ms = start.elapsed().as_secs_f64() * 1e3;
    Ok(Json(answer))
}
