//! The vocabulary: the words whose occurrence in the prompt an image is asked to tell.
//!
//! The paper keeps adjectives, nouns and verbs. There is no well-kept part-of-speech tagger for
//! Rust, so its stand-in here is a list of stop words that holds the other parts of speech.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};

/// Number of words that the paper keeps.
pub const MAX_WORDS: usize = 1000;

/// The most frequent content words of training prompts, most frequent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Vocabulary {
    /// The `max` most frequent content words of `prompts`; ties in alphabetical order.
    pub fn of_prompts<S: AsRef<str>>(prompts: &[S], max: usize) -> Self {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for prompt in prompts {
            for word in content_words(prompt.as_ref()) {
                *counts.entry(word).or_default() += 1;
            }
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.truncate(max);
        Self::from_words(counts.into_iter().map(|(word, _)| word).collect())
    }

    /// Reads a file of [`Vocabulary::to_text`].
    ///
    /// # Errors
    /// [`Error::Vocabulary`] if a word stands twice or is no lower-case word.
    pub fn from_text(text: &str, path: &Path) -> Result<Self> {
        let words: Vec<String> = text.lines().map(str::to_owned).collect();
        let vocabulary = Self::from_words(words);
        let is_word = |word: &String| content_words(word).next().as_ref() == Some(word);
        match vocabulary.words.iter().find(|word| !is_word(word)) {
            Some(word) => Err(Error::Vocabulary {
                path: path.to_owned(),
                word: word.clone(),
            }),
            None if vocabulary.numbers.len() < vocabulary.words.len() => {
                let word = "a word that stands twice".to_owned();
                Err(Error::Vocabulary {
                    path: path.to_owned(),
                    word,
                })
            }
            None => Ok(vocabulary),
        }
    }

    /// One word a line.
    pub fn to_text(&self) -> String {
        self.words.iter().map(|word| format!("{word}\n")).collect()
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words, by number.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Numbers of the vocabulary's words that occur in `prompt`, ascending, each once.
    pub fn numbers(&self, prompt: &str) -> Vec<u32> {
        let mut numbers: Vec<u32> = content_words(prompt)
            .filter_map(|word| self.numbers.get(&word).copied())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn from_words(words: Vec<String>) -> Self {
        let numbers = words
            .iter()
            .zip(0..)
            .map(|(word, number)| (word.clone(), number))
            .collect();
        Self { words, numbers }
    }
}

/// The lower-cased alphabetic words of a text that are no stop words.
fn content_words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() > 1 && word.chars().all(char::is_alphabetic))
        .map(str::to_lowercase)
        .filter(|word| STOP_WORDS.binary_search(&word.as_str()).is_err())
}

/// Words that are no adjective, noun or verb with a meaning of its own; in alphabetical order.
const STOP_WORDS: &[&str] = &[
    "about", "above", "across", "after", "again", "against", "all", "also", "although", "am",
    "among", "an", "and", "another", "any", "are", "around", "as", "at", "away", "be", "because",
    "been", "before", "behind", "being", "below", "beneath", "beside", "between", "beyond", "both",
    "but", "by", "can", "could", "did", "do", "does", "doing", "down", "during", "each", "either",
    "every", "few", "for", "from", "had", "has", "have", "having", "he", "her", "here", "hers",
    "him", "his", "how", "if", "in", "inside", "into", "is", "it", "its", "just", "many", "may",
    "me", "might", "more", "most", "much", "must", "my", "near", "neither", "no", "nor", "not",
    "of", "off", "on", "once", "only", "onto", "or", "other", "our", "out", "outside", "over",
    "own", "per", "same", "shall", "she", "should", "since", "so", "some", "such", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "those", "through", "to",
    "too", "toward", "towards", "under", "until", "up", "upon", "us", "very", "via", "was", "we",
    "were", "what", "when", "where", "whether", "which", "while", "who", "whom", "whose", "why",
    "will", "with", "within", "without", "would", "you", "your",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_in_order() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn keeps_the_most_frequent_content_words_in_lower_case() {
        let prompts = [
            "A red Cat in the rain, 4 k",
            "red house",
            "the RED cat of x",
        ];
        let vocabulary = Vocabulary::of_prompts(&prompts, 2);
        assert_eq!(vocabulary.words(), ["red", "cat"]);
        assert_eq!(vocabulary.numbers("cat, cat and RED fox"), [0, 1]);
        let path = Path::new("vocabulary.txt");
        assert_eq!(
            Vocabulary::from_text(&vocabulary.to_text(), path).unwrap(),
            vocabulary
        );
    }

    #[test]
    fn damaged_files_are_refused() {
        for text in ["red\nred\n", "Red\n", "two words\n", "\n"] {
            assert!(
                Vocabulary::from_text(text, Path::new("vocabulary.txt")).is_err(),
                "{text:?}"
            );
        }
    }
}
