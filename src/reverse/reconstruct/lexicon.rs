//! Prompts as numbers: words, which of them stand side by side, and pieces that can be exchanged.

use std::collections::{HashMap, HashSet};

/// Number of the comma, and of what stands before the first word and after the last.
pub(super) const BREAK: u32 = 0;

/// A piece begins before each of these: what follows tells where, when or with what.
const PREPOSITIONS: [&str; 20] = [
    "above", "across", "against", "among", "at", "before", "behind", "below", "beneath", "beside",
    "by", "during", "in", "inside", "near", "on", "over", "through", "under", "with",
];

/// The words of some prompts. Case does not matter; a word is written small if it was seen so.
#[derive(Debug)]
pub(super) struct Lexicon {
    numbers: HashMap<String, u32>,
    words: Vec<String>,
    prepositions: HashSet<u32>,
    /// What follows what.
    followers: HashMap<u32, Vec<u32>>,
    pairs: HashSet<(u32, u32)>,
}

impl Lexicon {
    /// Of prompts.
    pub(super) fn of<'a>(prompts: impl Iterator<Item = &'a str>) -> Self {
        let mut lexicon = Self {
            numbers: HashMap::new(),
            words: vec![",".to_owned()],
            prepositions: HashSet::new(),
            followers: HashMap::new(),
            pairs: HashSet::new(),
        };
        for prompt in prompts {
            let numbers = lexicon.learn(prompt);
            let ends = std::iter::once(BREAK);
            let whole: Vec<u32> = ends.clone().chain(numbers).chain(ends).collect();
            for pair in whole.windows(2) {
                if lexicon.pairs.insert((pair[0], pair[1])) {
                    lexicon.followers.entry(pair[0]).or_default().push(pair[1]);
                }
            }
        }
        lexicon
    }

    fn learn(&mut self, prompt: &str) -> Vec<u32> {
        for word in words(prompt) {
            let lower = word.to_lowercase();
            match self.numbers.get(&lower) {
                Some(&number) if lower == word => self.words[number as usize] = lower,
                Some(_) => {}
                None => {
                    let number = self.words.len() as u32;
                    if PREPOSITIONS.contains(&lower.as_str()) {
                        self.prepositions.insert(number);
                    }
                    self.numbers.insert(lower, number);
                    self.words.push(word.to_owned());
                }
            }
        }
        self.read(prompt)
    }

    /// The numbers of a prompt's words, with a [`BREAK`] for each comma between two; words that are not
    /// known are left out.
    pub(super) fn read(&self, prompt: &str) -> Vec<u32> {
        let mut numbers = vec![];
        for piece in prompt.split(',') {
            let known = words(piece).filter_map(|word| self.numbers.get(&word.to_lowercase()));
            let before = numbers.len();
            numbers.extend(known.copied());
            if before > 0 && numbers.len() > before {
                numbers.insert(before, BREAK);
            }
        }
        numbers
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// What was seen after a word.
    pub(super) fn followers(&self, number: u32) -> &[u32] {
        self.followers.get(&number).map_or(&[], Vec::as_slice)
    }

    /// Whether any two neighbours have been neighbours before.
    pub(super) fn is_plausible(&self, numbers: &[u32]) -> bool {
        let ends = std::iter::once(BREAK);
        let before = ends.clone().chain(numbers.iter().copied());
        let after = numbers.iter().copied().chain(ends);
        before.zip(after).all(|pair| self.pairs.contains(&pair))
    }

    /// The pieces of a prompt: a new one begins with each comma and before each preposition. A piece that
    /// begins with a [`BREAK`] is set off by a comma.
    pub(super) fn pieces(&self, numbers: &[u32]) -> Vec<Vec<u32>> {
        let mut pieces: Vec<Vec<u32>> = vec![];
        for &number in numbers {
            let begins = match pieces.last() {
                None => true,
                // No piece is a preposition alone, or a comma.
                Some(piece) => {
                    let last = piece.last().copied().unwrap_or(BREAK);
                    number == BREAK
                        || (self.prepositions.contains(&number)
                            && last != BREAK
                            && !self.prepositions.contains(&last))
                }
            };
            if begins {
                pieces.push(vec![]);
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(number);
            }
        }
        pieces
    }

    /// The text of numbers.
    pub(super) fn write(&self, numbers: &[u32]) -> String {
        let mut text = String::new();
        for &number in numbers {
            if number == BREAK {
                text.push(',');
                continue;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&self.words[number as usize]);
        }
        text
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| letter == ',' || letter.is_whitespace())
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPTS: [&str; 2] = [
        "A red castle on a beach, oil painting",
        "two blue cats, in the woods at night , photo",
    ];

    #[test]
    fn reads_and_writes_and_splits() {
        let lexicon = Lexicon::of(PROMPTS.into_iter());
        let numbers = lexicon.read(PROMPTS[0]);
        assert_eq!(
            lexicon.write(&numbers),
            "a red castle on a beach, oil painting"
        );
        let pieces = lexicon.pieces(&numbers);
        let texts: Vec<String> = pieces.iter().map(|piece| lexicon.write(piece)).collect();
        assert_eq!(texts, ["a red castle", "on a beach", ", oil painting"]);
        assert_eq!(pieces.concat(), numbers);
        let other = lexicon.read(",, TWO cats unheard-of,,at night,");
        assert_eq!(lexicon.write(&other), "two cats, at night");
        assert_eq!(lexicon.read("RED"), lexicon.read("red"));
        assert!(lexicon.read("").is_empty() && lexicon.pieces(&[]).is_empty());
    }

    #[test]
    fn only_pairs_that_were_seen_are_plausible() {
        let lexicon = Lexicon::of(PROMPTS.into_iter());
        for (prompt, plausible) in [
            (PROMPTS[0], true),
            ("photo", true),
            ("a beach, photo", true),
            ("a red cats", false),
            ("castle on a beach", false),
            ("two blue", false),
        ] {
            let numbers = lexicon.read(prompt);
            assert_eq!(lexicon.is_plausible(&numbers), plausible, "{prompt}");
        }
        let pair = lexicon.read("red castle");
        assert_eq!(lexicon.followers(pair[0]), [pair[1]]);
    }
}
