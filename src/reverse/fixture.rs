//! What the tests of this folder share.

use unprompt_index::{Hit, PromptId};

/// A hit with this prompt, and nothing else that tells it from others.
pub(super) fn hit(prompt: &str) -> Hit {
    Hit {
        rank: 1,
        id: PromptId::of(prompt),
        prompt: prompt.to_owned(),
        score: 1.0,
        scores: Default::default(),
        ranks: Default::default(),
        images: vec![],
        image_count: 0,
        vector: None,
    }
}
