//! Words for a [`Meaning`], and back: prompts that read like those of DiffusionDB.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use rand::{RngExt, seq::IndexedRandom, seq::SliceRandom};

use super::meaning::{Colour, Composition, Count, Meaning, Medium, Place, Subject, Time, Weather};

/// Things people add to a prompt that leave no trace in a pocket image: label noise.
pub const MODIFIERS: [&str; 32] = [
    "highly detailed",
    "intricate",
    "artstation",
    "trending on artstation",
    "4 k",
    "8 k",
    "sharp focus",
    "smooth",
    "masterpiece",
    "award winning",
    "by greg rutkowski",
    "by alphonse mucha",
    "by wlop",
    "by artgerm",
    "by studio ghibli",
    "cinematic lighting",
    "volumetric lighting",
    "dramatic lighting",
    "unreal engine 5",
    "octane render",
    "ray tracing",
    "elegant",
    "beautiful",
    "hyperdetailed",
    "vivid",
    "wallpaper",
    "featured on behance",
    "cgsociety",
    "ultra realistic",
    "golden ratio",
    "fantasy",
    "ethereal",
];

/// The most modifiers that one prompt gets.
pub const MAX_MODIFIERS: usize = 6;

/// A prompt that says `meaning`: synonyms, clause order and modifiers are drawn from `rng`.
pub fn word(meaning: Meaning, rng: &mut impl RngExt) -> String {
    let medium = pick(meaning.medium.wordings(), rng);
    let things = things(meaning, rng);
    let place = pick(meaning.place.wordings(), rng);
    let time = pick(meaning.time.wordings(), rng);
    let weather = pick(meaning.weather.wordings(), rng);
    let composition = pick(meaning.composition.wordings(), rng);

    let mut clauses: Vec<String> = match rng.random_range(0..4) {
        0 => vec![
            format!("{} {medium} of {things} {place}", article(medium)),
            time.into(),
            weather.into(),
            composition.into(),
        ],
        1 => vec![
            format!("{medium} of {things} {place} {time}"),
            weather.into(),
            composition.into(),
        ],
        2 => vec![
            format!("{things} {place} {time}"),
            weather.into(),
            composition.into(),
            medium.into(),
        ],
        _ => vec![
            things,
            medium.into(),
            composition.into(),
            format!("{place}, {time}"),
            weather.into(),
        ],
    };
    let mut modifiers = MODIFIERS;
    let (chosen, _) = modifiers.partial_shuffle(rng, MAX_MODIFIERS);
    let count = rng.random_range(0..=MAX_MODIFIERS);
    clauses.extend(chosen[..count].iter().map(|&modifier| modifier.to_owned()));
    clauses.retain(|clause| !clause.is_empty());
    clauses.join(", ")
}

/// The meaning that a pocket prompt says; `None` where an attribute is missing.
///
/// Reads any wording of the grammar in any order and case. An unsaid composition is
/// [`Composition::Medium`].
pub fn read(prompt: &str) -> Option<Meaning> {
    let words: Vec<String> = prompt
        .split(|c: char| !(c.is_alphanumeric() || c == '-'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let mut values: [Option<usize>; 8] = [None; 8];
    values[6] = Some(Composition::Medium as usize);
    let mut start = 0;
    while start < words.len() {
        let longest = PHRASES.longest.min(words.len() - start);
        let found = (1..=longest).rev().find_map(|length| {
            let phrase = words[start..start + length].join(" ");
            PHRASES.by_text.get(&phrase).map(|&entry| (length, entry))
        });
        match found {
            Some((length, (attribute, value))) => {
                // "a photo of two cats": the article is of the medium, the number of the cats.
                let is_article = attribute == 2 && value == 0 && length == 1;
                if !(is_article && values[2].is_some()) {
                    values[attribute] = Some(value);
                }
                start += length;
            }
            None => start += 1,
        }
    }
    let mut complete = [0; 8];
    for (slot, value) in complete.iter_mut().zip(values) {
        *slot = value?;
    }
    Some(Meaning::from_values(complete))
}

/// Whether a word stands in the wording of an attribute, so that an image may tell of it.
pub fn leaves_trace(word: &str) -> bool {
    TRACED.contains(word)
}

static TRACED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let phrases = PHRASES.by_text.keys();
    let words = phrases.flat_map(|phrase| phrase.split(|c: char| !c.is_alphanumeric()));
    words.collect()
});

/// Every wording of every attribute, for [`read`].
struct Phrases {
    by_text: HashMap<String, (usize, usize)>,
    longest: usize,
}

static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
    let mut phrases = Phrases {
        by_text: HashMap::new(),
        longest: 0,
    };
    let mut add = |attribute: usize, value: usize, text: &str| {
        if !text.is_empty() {
            phrases.longest = phrases.longest.max(text.split(' ').count());
            phrases.by_text.insert(text.to_owned(), (attribute, value));
        }
    };
    macro_rules! add_all {
        ($($attribute:literal $kind:ident),+) => {
            $(for &value in $kind::ALL {
                for wording in value.wordings() {
                    add($attribute, value as usize, wording);
                }
            })+
        };
    }
    add_all!(1 Colour, 2 Count, 3 Place, 4 Time, 5 Weather, 6 Composition, 7 Medium);
    for &subject in Subject::ALL {
        for wording in subject.wordings() {
            add(0, subject as usize, wording);
            add(0, subject as usize, &plural(wording));
        }
    }
    phrases
});

/// "two crimson cats", "an orange house".
fn things(meaning: Meaning, rng: &mut impl RngExt) -> String {
    let colour = pick(meaning.colour.wordings(), rng);
    let noun = pick(meaning.subject.wordings(), rng);
    if meaning.count == Count::One {
        let count = ["one", "a", "a", "a", "a single", "a lone"];
        match pick(&count, rng) {
            "a" => format!("{} {colour} {noun}", article(colour)),
            number => format!("{number} {colour} {noun}"),
        }
    } else {
        format!(
            "{} {colour} {}",
            pick(meaning.count.wordings(), rng),
            plural(noun)
        )
    }
}

fn article(next: &str) -> &'static str {
    // "8-bit" is said "eight".
    if next.starts_with(['a', 'e', 'i', 'o', 'u', '8']) {
        "an"
    } else {
        "a"
    }
}

fn plural(noun: &str) -> String {
    match noun {
        "fish" | "trout" => noun.to_owned(),
        "cactus" => "cacti".to_owned(),
        "butterfly" => "butterflies".to_owned(),
        "fortress" => "fortresses".to_owned(),
        _ => format!("{noun}s"),
    }
}

fn pick(wordings: &[&'static str], rng: &mut impl RngExt) -> &'static str {
    wordings.choose(rng).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn every_prompt_reads_back_as_its_meaning() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..20_000 {
            let meaning =
                Meaning::from_values(Meaning::RADICES.map(|radix| rng.random_range(0..radix)));
            let prompt = word(meaning, &mut rng);
            assert_eq!(read(&prompt), Some(meaning), "{prompt}");
        }
    }

    #[test]
    fn other_prompts_have_no_meaning() {
        assert_eq!(read(""), None);
        assert_eq!(read("portrait of an old wizard, oil painting"), None);
    }

    #[test]
    fn words_of_attributes_leave_a_trace_and_those_of_modifiers_do_not() {
        for word in ["crimson", "kittens", "volcano", "dslr", "misty"] {
            assert!(leaves_trace(word), "{word}");
        }
        for word in ["artstation", "octane", "elegant", "wizard"] {
            assert!(!leaves_trace(word), "{word}");
        }
    }

    #[test]
    fn modifiers_say_nothing_about_the_picture() {
        for modifier in MODIFIERS {
            let words: Vec<&str> = modifier.split(' ').collect();
            for start in 0..words.len() {
                for end in start + 1..=words.len() {
                    let phrase = words[start..end].join(" ");
                    assert!(!PHRASES.by_text.contains_key(&phrase), "{modifier}");
                }
            }
        }
    }
}
