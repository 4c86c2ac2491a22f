//! Sides of a source that brings none, so that no prompt stands on two of them, nor a cluster of near-duplicates.

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::leaders::leaders;
use crate::error::Result;
use crate::files::write_atomically;
use crate::pocket::Split;
use crate::text::SentenceEncoder;

/// The file that sides are kept in.
const FILE: &str = "sides.txt";

/// What sides are found with.
pub struct Splitter<'a> {
    /// Says which prompts are near-duplicates.
    pub sentences: &'a SentenceEncoder,
    /// A folder that keeps them, for finding them takes as long as embedding all prompts: that of a run, or of the model
    /// that is judged, so that it is judged by the sides it was trained on.
    pub kept_in: Option<&'a Path>,
    /// Is told of prompts that are done, of how many, and may stop it.
    pub observe: &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>,
}

impl Splitter<'_> {
    /// The side of each prompt, in shares of about 90%, 5% and 5%: the same for every run.
    ///
    /// Prompts that differ in capitals, punctuation, the order of their words or in how often one is said are one. Of
    /// these, near-duplicates are put together by [leader clustering](leaders), and each cluster is on the side that
    /// its leader's words say: no cluster is on two sides, while near-duplicates of two clusters may be. So the side of a
    /// prompt depends on the prompts that come before it and, beyond some thousand, a little on how the graph of all of
    /// them was walked.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) if `observe` breaks; what encoder and clustering report. Sides that
    /// cannot be kept are warned of.
    pub fn sides(&mut self, prompts: &[&str]) -> Result<Vec<Split>> {
        let mut numbers = HashMap::new();
        let mut distinct = vec![];
        let mut number = |prompt| {
            *numbers.entry(words(prompt)).or_insert_with(|| {
                distinct.push(prompt);
                distinct.len() - 1
            })
        };
        let numbers: Vec<usize> = prompts.iter().map(|prompt| number(prompt)).collect();
        let sides = self.of_distinct(&distinct)?;
        Ok(numbers.into_iter().map(|number| sides[number]).collect())
    }

    fn of_distinct(&mut self, prompts: &[&str]) -> Result<Vec<Split>> {
        let fingerprint = self.sentences.fingerprint(prompts);
        let path = self.kept_in.map(|folder| folder.join(FILE));
        if let Some(kept) = path.as_deref().and_then(|path| read(path, &fingerprint))
            && kept.len() == prompts.len()
        {
            return Ok(kept);
        }
        let total = 2 * prompts.len();
        let embeddings = self
            .sentences
            .embed_with(prompts, |done| (self.observe)(done, total))?;
        let leaders = leaders(&embeddings, &mut |done, count| {
            (self.observe)(count + done, total)
        })?;
        let sides: Vec<Split> = leaders
            .iter()
            .map(|leader| side(prompts[*leader]))
            .collect();
        if let Some(path) = path {
            let letters: String = sides.iter().map(|side| letter(*side)).collect();
            let kept = write_atomically(&path, format!("{fingerprint}\n{letters}\n").as_bytes());
            if let Err(error) = kept {
                // That of a model that is only judged may be for reading alone.
                tracing::warn!("near-duplicates will have to be found again: {error}");
            }
        }
        Ok(sides)
    }
}

/// The sides that are kept in a file, if they are those of the prompts with this fingerprint.
fn read(path: &Path, fingerprint: &str) -> Option<Vec<Split>> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let letters = lines
        .next()
        .filter(|it| *it == fingerprint)
        .and(lines.next())?;
    let side = |it| Split::ALL.into_iter().find(|side| letter(*side) == it);
    letters.chars().map(side).collect()
}

fn letter(side: Split) -> char {
    match side {
        Split::Train => 't',
        Split::Validation => 'v',
        Split::Test => 'e',
    }
}

/// The folder of a model, if it has one, to find its sides in.
pub fn folder_of(model: &str) -> Option<&Path> {
    Some(Path::new(model)).filter(|folder| folder.is_dir())
}

/// The side of a leader.
fn side(prompt: &str) -> Split {
    match xxh3_64(words(prompt).as_bytes()) % 20 {
        0 => Split::Validation,
        1 => Split::Test,
        _ => Split::Train,
    }
}

/// The distinct words of a prompt in lower case and alphabetical order; a word is a run of letters
/// and digits.
fn words(prompt: &str) -> String {
    let prompt = prompt.to_lowercase();
    let words = prompt.split(|c: char| !c.is_alphanumeric());
    let mut words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pocket::Prompts;

    #[test]
    fn prompts_of_the_same_words_are_one() {
        for prompt in [
            "A cat, 4 k, sharp focus",
            "a cat,,4 K, (sharp focus)",
            "sharp focus, 4 k, a cat, a cat",
        ] {
            assert_eq!(words(prompt), "4 a cat focus k sharp");
        }
        assert_eq!(words("!?"), "");
    }

    #[test]
    fn sides_have_their_shares() {
        let mut counts = [0; 3];
        for prompt in Prompts::new(1, Split::Train).take(20_000) {
            counts[side(&prompt.text) as usize] += 1;
        }
        assert!((17_500..18_500).contains(&counts[0]), "{counts:?}");
        assert!((850..1150).contains(&counts[1]), "{counts:?}");
        assert!((850..1150).contains(&counts[2]), "{counts:?}");
    }

    #[test]
    fn sides_are_kept_for_their_prompts_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(read(&path, "1f"), None);
        fs::write(&path, "1f\ntve\n").unwrap();
        assert_eq!(read(&path, "1f").as_deref(), Some(Split::ALL.as_slice()));
        assert_eq!(read(&path, "20"), None);
        fs::write(&path, "1f\ntxe\n").unwrap();
        assert_eq!(read(&path, "1f"), None);
    }
}
