//! Sides of a source that brings none: by prompt, so that no prompt stands on two of them.

use xxhash_rust::xxh3::xxh3_64;

use crate::pocket::Split;

/// The side of a prompt, with the shares of [`Split`]: the same for every run and source.
///
/// Prompts that differ in capitals, punctuation, the order of their words or in how often one is
/// said are on one side. Those that say the same in other words may be on two.
pub fn side(prompt: &str) -> Split {
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
    fn prompts_of_the_same_words_are_on_one_side() {
        for prompt in [
            "A cat, 4 k, sharp focus",
            "a cat,,4 K, (sharp focus)",
            "sharp focus, 4 k, a cat, a cat",
        ] {
            assert_eq!(words(prompt), "4 a cat focus k sharp");
            assert_eq!(side(prompt), side("a cat, 4 k, sharp focus"));
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
}
