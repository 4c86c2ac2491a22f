//! From text to words: split at what is neither letter nor digit, lower-cased, accents folded,
//! English endings cut off. Texts and queries go the same way, so that they meet.

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RawTokenizer, RemoveLongFilter, SimpleTokenizer,
    Stemmer, TextAnalyzer, TokenizerManager,
};

/// The analyzer's name in the schema.
pub(crate) const ANALYZER: &str = "prompt";

/// The name in the schema of what takes a whole text as one word, in lower case.
pub(crate) const NAME: &str = "name";

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
    let name = TextAnalyzer::builder(RawTokenizer::default()).filter(LowerCaser);
    manager.register(NAME, name.build());
    manager
}

/// A text as [`NAME`] indexes it, or its beginning.
pub(crate) fn folded(text: &str) -> String {
    // Letter by letter, as tantivy does: `str::to_lowercase` looks at what stands behind a sigma.
    text.chars().flat_map(char::to_lowercase).collect()
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
    fn names_are_folded_as_they_are_indexed() {
        for text in [
            "DPM++ 2M Karras",
            "\u{c9}TUDE \u{3a3}\u{3a3}",
            "\u{130}",
            "",
        ] {
            let mut analyzer = tokenizers().get(NAME).unwrap();
            let mut words = vec![];
            analyzer
                .token_stream(text)
                .process(&mut |token| words.push(token.text.clone()));
            assert_eq!(words, [folded(text)]);
        }
    }

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
