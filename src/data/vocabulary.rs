//! The vocabulary: the words whose occurrence in the prompt an image is asked to tell.
//!
//! The paper keeps adjectives, nouns and verbs. No tagger fits in here (docs/method.md says which were
//! looked at), so a list of stop words stands in for one: it holds the other parts of speech.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::LazyLock;

use crate::error::{Error, Result};

/// Number of words that the paper keeps.
pub const MAX_WORDS: usize = 1000;

/// The most frequent content words of training prompts, most frequent first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Vocabulary {
    /// The `max` most frequent content words of `prompts`; ties in alphabetical order.
    pub fn of_prompts<S: AsRef<str>>(prompts: &[S], max: usize) -> Self {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for prompt in prompts {
            for word in words(prompt.as_ref()).filter(|word| is_content(word)) {
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
        let vocabulary = Self::from_words(text.lines().map(str::to_owned).collect());
        // What counts as a stop word may have changed since the file was written.
        let is_word = |word: &String| words(word).next().as_ref() == Some(word);
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
        let mut numbers: Vec<u32> = words(prompt)
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

/// The alphabetic words of a text in lower case, but for single letters.
fn words(text: &str) -> impl Iterator<Item = String> {
    // First, for it makes signs of some letters.
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words =
        words.filter(|word| word.chars().count() > 1 && word.chars().all(char::is_alphabetic));
    words.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Whether a word may be an adjective, noun or verb with a meaning of its own.
fn is_content(word: &str) -> bool {
    !STOP_WORDS.contains(word)
}

/// Words that in a prompt are hardly ever anything else than adverbs, pronouns, conjunctions,
/// prepositions, determiners or auxiliary verbs, and what an apostrophe leaves of them. None of the
/// pocket world's words is among them, so that models trained on it keep their vocabulary.
static STOP_WORDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("stop_words.txt").split_whitespace().collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parts_of_speech_are_left_out() {
        let prompt = "She isn't quite sure, but perhaps they've nevertheless seen themselves";
        let vocabulary = Vocabulary::of_prompts(&[prompt], MAX_WORDS);
        assert_eq!(vocabulary.words(), ["seen", "sure"]);
    }

    #[test]
    fn the_words_of_the_pocket_world_stay() {
        let words = include_str!("../../assets/vit/vocabulary.txt");
        for word in words.lines() {
            assert!(is_content(word), "{word}");
        }
    }

    #[test]
    fn words_of_a_file_are_looked_for_even_if_they_are_stop_words_now() {
        let vocabulary = Vocabulary::from_text("the\nred\n", Path::new("v.txt")).unwrap();
        assert_eq!(vocabulary.numbers("The red cat"), [0, 1]);
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
        // A letter whose lower case is a letter and a sign.
        let odd = Vocabulary::of_prompts(&["\u{130}stanbul at night"], MAX_WORDS);
        assert_eq!(Vocabulary::from_text(&odd.to_text(), path).unwrap(), odd);
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
