//! What is kept of an image, and the shape of an answer. The JSON of these types is a promise.

use serde::{Deserialize, Serialize};

use crate::id::PromptId;

/// One image of a prompt: its name and how it was made. What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageRecord {
    /// File name, unique within its collection.
    pub image_name: String,
    /// Part of the collection that holds the file.
    pub part_id: Option<u32>,
    /// Seed of the generator.
    pub seed: Option<u64>,
    /// Sampling steps.
    pub step: Option<u32>,
    /// Guidance scale.
    pub cfg: Option<f32>,
    /// Sampler, as its collection calls it, e.g. `k_lms`.
    pub sampler: Option<String>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// How likely the image is unsafe, in [0, 1]; DiffusionDB marks blurred images with 2.
    pub image_nsfw: Option<f32>,
    /// How likely the prompt is unsafe, in [0, 1].
    #[serde(default)]
    pub prompt_nsfw: Option<f32>,
    /// When it was made, milliseconds since 1970 UTC.
    #[serde(default)]
    pub timestamp: Option<i64>,
    /// Name of the model that made it.
    #[serde(default)]
    pub model: Option<String>,
    /// The program that made it, in lower case, e.g. `automatic1111`.
    #[serde(default)]
    pub generator: Option<String>,
    /// Bytes of the file, where it was read from one.
    #[serde(default)]
    pub file_size: Option<u64>,
    /// The confidence, in [0, 1], with which the prompt was predicted from the image; `None` where it was not
    /// predicted.
    #[serde(default)]
    pub predicted: Option<f32>,
}

/// The single scores behind a hit. Where a search by a vector takes part, every hit has its cosine,
/// found by that search or not; else `None` where a search did not take part or did not find it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Scores {
    /// Cosine to the query vector, in [-1, 1].
    pub vector: Option<f32>,
    /// Cosine to the query vector after domain adaptation, in [-1, 1].
    pub kernel: Option<f32>,
    /// BM25 score of the keywords, at least 0.
    pub keyword: Option<f32>,
}

/// The places of a hit in the single lists, from 1; `None` where a search did not take part or did
/// not find it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ranks {
    /// Place by cosine.
    pub vector: Option<usize>,
    /// Place by cosine after domain adaptation.
    pub kernel: Option<usize>,
    /// Place by BM25.
    pub keyword: Option<usize>,
}

/// One answer of a search: a prompt and its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hit {
    /// Place in the answer, from 1; with an offset, of the whole answer.
    pub rank: usize,
    /// The prompt's lasting name.
    pub id: PromptId,
    /// The prompt.
    pub prompt: String,
    /// What the answer is ordered by; larger is better, comparable within one answer only.
    pub score: f32,
    /// Where the score comes from.
    pub scores: Scores,
    /// Where each search has it.
    pub ranks: Ranks,
    /// The first images of the prompt; with a filter, of those that it selects.
    pub images: Vec<ImageRecord>,
    /// How many images there are in all; with a filter, how many it selects.
    pub image_count: usize,
    /// The prompt's vector, where [`with_vectors`](crate::SearchRequest::with_vectors) asked for it; left out of JSON.
    #[serde(skip)]
    pub vector: Option<Vec<f32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hit_has_the_promised_json() {
        let hit = Hit {
            rank: 1,
            id: PromptId::of("a cat"),
            prompt: "a cat".into(),
            score: 0.5,
            scores: Scores {
                vector: Some(0.5),
                ..Scores::default()
            },
            ranks: Ranks {
                vector: Some(1),
                ..Ranks::default()
            },
            images: vec![ImageRecord {
                image_name: "cat.png".into(),
                seed: Some(u64::MAX),
                cfg: Some(7.5),
                timestamp: Some(0),
                prompt_nsfw: Some(0.25),
                file_size: Some(7),
                model: Some("m".into()),
                ..ImageRecord::default()
            }],
            image_count: 1,
            vector: Some(vec![1.0]),
        };
        let expected = format!(
            "{{\"rank\":1,\"id\":\"{}\",\"prompt\":\"a cat\",\"score\":0.5,\
             \"scores\":{{\"vector\":0.5,\"kernel\":null,\"keyword\":null}},\
             \"ranks\":{{\"vector\":1,\"kernel\":null,\"keyword\":null}},\"images\":[{{\"image_name\":\"cat.png\",\"part_id\":null,\
             \"seed\":18446744073709551615,\"step\":null,\"cfg\":7.5,\"sampler\":null,\
             \"width\":null,\"height\":null,\"image_nsfw\":null,\"prompt_nsfw\":0.25,\"timestamp\":0,\
             \"model\":\"m\",\"generator\":null,\"file_size\":7,\"predicted\":null}}],\"image_count\":1}}",
            hit.id
        );
        assert_eq!(serde_json::to_string(&hit).unwrap(), expected);
    }
}
