//! `/v1/records/{id}`: one prompt with all its images.

use actix_web::web::{Data, Json, Path};
use serde::Serialize;
use unprompt_index::{EntryId, ImageRecord, Index, PromptId};
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::State;

/// Images that are listed at most.
const MAX_IMAGES: usize = 1000;

/// A prompt with its images.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Record {
    /// Its lasting name.
    id: PromptId,
    /// The prompt.
    prompt: String,
    /// Its images, the first thousand.
    images: Vec<ImageRecord>,
    /// How many there are in all.
    image_count: usize,
}

/// The entry of a prompt.
pub(super) fn find(index: &Index, id: PromptId) -> Result<EntryId, Problem> {
    let absent = || Problem::not_found(format!("there is no record {id}"));
    index.find(&id)?.ok_or_else(absent)
}

/// A prompt of the index, with its images.
#[utoipa::path(get, path = "/v1/records/{id}", operation_id = "record", params(("id" = String, Path, pattern = "^[0-9a-f]{32}$")), security(("key" = [])), responses(
    (status = 200, description = "The record", body = Record),
    (status = "4XX", description = "What is wrong with the request", body = Problem,
        content_type = "application/problem+json")
))]
pub(crate) async fn get(state: Data<State>, id: Path<String>) -> Result<Json<Record>, Problem> {
    let id: PromptId = id
        .parse()
        .map_err(|error| Problem::bad_request(format!("`{id}`: {error}")))?;
    let snapshot = state.snapshot();
    let work = move || {
        let index = snapshot.index();
        let entry = find(index, id)?;
        let (images, image_count) = index.images(entry, None, MAX_IMAGES)?;
        Ok(Record {
            id,
            prompt: index.prompt(entry)?,
            images,
            image_count,
        })
    };
    Ok(Json(state.gate.run(work).await?))
}
