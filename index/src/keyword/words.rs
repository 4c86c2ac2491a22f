//! From text to words: split at what is neither letter nor digit, lower-cased, accents folded,
//! English endings cut off. Texts and queries go the same way, so that they meet.

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer,
    TextAnalyzer, TokenizerManager,
};

/// The analyzer's name in the schema.
pub(crate) const ANALYZER: &str = "prompt";

/// Bytes of the longest word kept. Scripts without spaces make long words of whole phrases.
const MAX_WORD_BYTES: usize = 128;

fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(MAX_WORD_BYTES))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

/// The tokenizers that both of our tantivy folders are opened with.
pub(crate) fn tokenizers() -> TokenizerManager {
    let manager = TokenizerManager::default();
    manager.register(ANALYZER, analyzer());
    manager
}

/// The words of `text` with their positions.
pub(crate) fn words(text: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    let mut analyzer = analyzer();
    analyzer.token_stream(text).process(&mut |token| {
        words.push((token.position, token.text.clone()));
    });
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording_that_means_the_same_meets() {
        let of = |text: &str| {
            words(text)
                .into_iter()
                .map(|(_, word)| word)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("Paintings, in CAF\u{c9}S!"), of("painting in cafe"));
        assert_eq!(words("k_lms"), [(0, "k".to_owned()), (1, "lms".to_owned())]);
        assert!(of("... !").is_empty());
        assert!(of(&"x".repeat(1000)).is_empty());
    }
}
