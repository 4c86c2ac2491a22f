//! Words.

/// What to look for in the prompts' words.
#[derive(Clone, Debug, PartialEq)]
pub enum KeywordQuery {
    /// Free text: prompts with any of its words, the rarer and the more the better. Never a
    /// syntax error.
    Text(String),
    /// Words with weights, for instance their probabilities. Words that are not above 0 (or not a
    /// number) are left out.
    Weighted(Vec<(String, f32)>),
}
