//! What to look for in the prompts' words.

use std::collections::BTreeMap;

use super::words::words;

/// What to look for in the prompts' words.
#[derive(Clone, Debug, PartialEq)]
pub enum KeywordQuery {
    /// Free text: prompts with any of its words, the rarer and the more the better. Never a
    /// syntax error.
    Text(String),
    /// Words with weights, for instance their probabilities. Words whose weight is not above 0
    /// (or not finite) are left out.
    Weighted(Vec<(String, f32)>),
}

impl KeywordQuery {
    /// Words as they stand in the index, each with the sum of its weights.
    pub(super) fn weights(&self) -> BTreeMap<String, f32> {
        let mut weights = BTreeMap::new();
        let mut add = |text: &str, weight: f32| {
            for (_, word) in words(text) {
                *weights.entry(word).or_insert(0.0) += weight;
            }
        };
        match self {
            KeywordQuery::Text(text) => add(text, 1.0),
            KeywordQuery::Weighted(words) => {
                let usable = |weight: f32| weight > 0.0 && weight.is_finite();
                words
                    .iter()
                    .filter(|(_, w)| usable(*w))
                    .for_each(|(word, w)| add(word, *w));
            }
        }
        weights
    }
}
