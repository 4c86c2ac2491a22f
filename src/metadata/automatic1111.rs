//! The `parameters` text of AUTOMATIC1111's web UI and of the tools that write as it does.
//!
//! ```text
//! a prompt, that may
//! have several lines
//! Negative prompt: what is not wanted, on several lines too
//! Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Lora hashes: "a: 1, b: 2", Version: v1.10.1
//! ```
//! Negative prompt and settings may both be missing. The rules are those of the web UI's own reader
//! (`parse_generation_parameters` of its `infotext_utils.py`), except that the settings must name
//! two settings of the web UI, so that a prompt such as `Sky: red, sea: blue, mood: calm` stays a
//! prompt, that lines may follow the settings, and that the space at the ends of a prompt's inner
//! lines is kept. JSON under `parameters` is another tool's.

use super::exif::USER_COMMENT;
use super::{Embedded, Texts, is_json};

/// The longest text that is looked at, in bytes.
const MAX_BYTES: usize = 1 << 20;

const NEGATIVE: &str = "Negative prompt:";

/// A settings line has at least so many settings, as the web UI demands too.
pub(super) const MIN_SETTINGS: usize = 3;

/// Settings that tell a settings line from a prompt with colons; at least two must be there.
const KNOWN: &[&str] = &[
    "Steps",
    "Sampler",
    "CFG scale",
    "Seed",
    "Size",
    "Model hash",
    "Model",
    "Version",
];

/// What the web UI wrote.
pub(super) fn find(texts: &Texts) -> Option<Embedded> {
    let text = texts
        .get("parameters")
        .or_else(|| texts.get(USER_COMMENT))?;
    (text.len() <= MAX_BYTES && !is_json(text)).then(|| parse(text))?
}

fn parse(text: &str) -> Option<Embedded> {
    let lines: Vec<(usize, &str)> = text
        .split_inclusive('\n')
        .scan(0, |next, line| {
            let start = *next;
            *next += line.len();
            Some((start, line))
        })
        .collect();
    let negative = lines
        .iter()
        .position(|(_, line)| line.trim_start().starts_with(NEGATIVE));
    // The settings follow the prompts; further down only add-ons write.
    let (settings_start, settings) = lines
        .iter()
        .skip(negative.map_or(0, |line| line + 1))
        .rev()
        .find_map(|&(start, line)| Some((start, settings(line)?)))
        .unwrap_or((text.len(), Vec::new()));
    let prompts = text.get(..settings_start)?;
    let (prompt, negative_prompt) = match negative.and_then(|line| lines.get(line)) {
        Some(&(start, _)) => {
            let (prompt, rest) = prompts.split_at_checked(start)?;
            let negative = rest.trim_start().strip_prefix(NEGATIVE)?.trim();
            (prompt, (!negative.is_empty()).then(|| negative.to_owned()))
        }
        None => (prompts, None),
    };
    let prompt = prompt.trim();
    if prompt.is_empty() {
        return None;
    }
    let get = |name: &str| {
        let found = settings.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    Some(Embedded {
        generator: generator(get("App"), get("Version")).to_owned(),
        prompt: prompt.to_owned(),
        negative_prompt,
        seed: get("Seed").and_then(|value| value.parse().ok()),
        steps: get("Steps").and_then(|value| value.parse().ok()),
        cfg: get("CFG scale")
            .and_then(|value| value.parse().ok())
            .filter(|cfg: &f64| cfg.is_finite()),
        sampler: get("Sampler").map(str::to_owned),
        model: get("Model").map(str::to_owned),
    })
}

/// Who wrote the text, as far as it tells: Forge numbers its versions `f0.0.17` and `f2.0.1`, its
/// branches are `classic` and `neo`, and reForge's versions begin with `f1`.
fn generator(app: Option<&str>, version: Option<&str>) -> &'static str {
    let is_forge = |version: &str| {
        let number = version.strip_prefix('f').unwrap_or_default();
        number.starts_with(|c: char| c.is_ascii_digit()) || matches!(version, "classic" | "neo")
    };
    match (app, version) {
        (Some("SD.Next"), _) => "sd-next",
        (_, Some(version)) if version.starts_with("f1.") => "reforge",
        (_, Some(version)) if is_forge(version) => "forge",
        _ => "automatic1111",
    }
}

/// The names and values of a settings line; `None` for any other line.
fn settings(line: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = line.trim();
    while let Some((key, after)) = rest.split_once([':', ',']) {
        let colon = rest.as_bytes().get(key.len()) == Some(&b':');
        rest = after;
        // Anything else is part of a value that holds commas or colons without quotes.
        if colon && is_key(key.trim()) {
            let (value, after) = split_value(rest.trim_start());
            found.push((key.trim().to_owned(), value));
            rest = after;
        }
    }
    let known = KNOWN
        .iter()
        .filter(|known| found.iter().any(|(key, _)| key == *known))
        .count();
    (found.len() >= MIN_SETTINGS && known >= 2).then_some(found)
}

/// Whether a text may name a setting: letters, digits, spaces and few signs, two at least.
fn is_key(text: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.chars().count() > 1
        && text.starts_with(word)
        && text
            .chars()
            .all(|c| word(c) || matches!(c, ' ' | '-' | '/'))
}

/// The value at the start of a text, out of its quotes, and what follows its comma.
fn split_value(text: &str) -> (String, &str) {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        if let Some(Ok(value)) = values.next() {
            let rest = text.get(values.byte_offset()..).unwrap_or_default();
            if let Some(rest) = after_comma(rest) {
                return (value, rest);
            }
        }
    }
    let (value, rest) = text.split_once(',').unwrap_or((text, ""));
    (value.trim().to_owned(), rest)
}

/// What follows a comma, or nothing at the end; `None` if something else comes first.
fn after_comma(text: &str) -> Option<&str> {
    let text = text.trim_start();
    if text.is_empty() {
        return Some(text);
    }
    text.strip_prefix(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str =
        "Steps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 1, Size: 512x512, Model: v1-5";

    fn parsed(text: &str) -> Embedded {
        parse(text).unwrap_or_else(|| panic!("{text:?} should be understood"))
    }

    #[test]
    fn all_parts_are_read() {
        let embedded = parsed(&format!(
            "a cat, \non a (mat:1.2)\nNegative prompt: dog,\nblurry\n{SETTINGS}"
        ));
        let expected = Embedded {
            generator: "automatic1111".into(),
            prompt: "a cat, \non a (mat:1.2)".into(),
            negative_prompt: Some("dog,\nblurry".into()),
            seed: Some(1),
            steps: Some(20),
            cfg: Some(7.5),
            sampler: Some("Euler a".into()),
            model: Some("v1-5".into()),
        };
        assert_eq!(embedded, expected);
    }

    #[test]
    fn parts_may_be_missing() {
        let embedded = parsed(&format!("a cat\r\n{SETTINGS}\r\n"));
        assert_eq!(
            (embedded.prompt.as_str(), embedded.steps),
            ("a cat", Some(20))
        );
        assert_eq!(embedded.negative_prompt, None);

        let embedded = parsed("a cat\nNegative prompt: dog");
        assert_eq!(embedded.negative_prompt.as_deref(), Some("dog"));
        assert_eq!((embedded.prompt.as_str(), embedded.steps), ("a cat", None));

        assert_eq!(parsed("a cat").prompt, "a cat");
        assert_eq!(
            parsed(&format!("a\nNegative prompt: \n{SETTINGS}")).negative_prompt,
            None
        );
        for none in ["", " \n", SETTINGS, "Negative prompt: dog\nSteps: 1"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn prompts_that_look_like_settings_stay_prompts() {
        for prompt in [
            "Steps: 20",
            "Steps: 20, Sampler: by hand",
            "Sky: red, sea: blue, mood: calm",
            "a poster that says Steps: 20, Sampler: Euler a",
        ] {
            assert_eq!(parsed(prompt).prompt, prompt);
            let embedded = parsed(&format!("{prompt}\nNegative prompt: dog\n{SETTINGS}"));
            assert_eq!(
                (embedded.prompt.as_str(), embedded.seed),
                (prompt, Some(1)),
                "{prompt}"
            );
        }
        let embedded = parsed(&format!("{SETTINGS}\nNegative prompt: dog"));
        assert_eq!(
            (embedded.prompt.as_str(), embedded.steps),
            (SETTINGS, None),
            "settings never stand above the negative prompt"
        );
    }

    #[test]
    fn quoted_values_keep_their_commas() {
        let embedded = parsed(
            "a cat\nSteps: 4, ADetailer prompt: \"Seed: 9, \\\"Model: x\\\", \\u00e9\", Seed: 5, \
             Hashes: {\"model\": \"45a2\", \"vae\": \"1\"}, Model: \"a, b\", CFG scale: inf",
        );
        assert_eq!(embedded.seed, Some(5));
        assert_eq!(embedded.model.as_deref(), Some("a, b"));
        assert_eq!(embedded.cfg, None);
        let broken = parsed("a cat\nSteps: 4, Seed: 5, Note: \"open, Model: b");
        assert_eq!(broken.model.as_deref(), Some("b"));
    }

    #[test]
    fn lines_of_addons_may_follow_the_settings() {
        let embedded = parsed(&format!("a cat\n{SETTINGS}\nTemplate: {{a|b}} cat"));
        assert_eq!(
            (embedded.prompt.as_str(), embedded.seed),
            ("a cat", Some(1))
        );
    }

    #[test]
    fn values_out_of_range_are_unknown() {
        let embedded = parsed("a cat\nSteps: -1, Seed: 99999999999999999999, CFG scale: x");
        assert_eq!(
            (embedded.steps, embedded.seed, embedded.cfg),
            (None, None, None)
        );
    }

    #[test]
    fn the_version_tells_the_generator() {
        let of = |end: &str| parsed(&format!("a cat\n{SETTINGS}, {end}")).generator;
        assert_eq!(of("Version: v1.10.1"), "automatic1111");
        assert_eq!(of("Version: f2.0.1v1.10.1-previous"), "forge");
        assert_eq!(of("Version: neo"), "forge");
        assert_eq!(of("Version: f1.0.0v2-v1.10.1RC-latest"), "reforge");
        assert_eq!(of("App: SD.Next, Version: 56a8aea"), "sd-next");
    }

    #[test]
    fn hostile_text_takes_no_longer_than_other_text() {
        for piece in [
            ",",
            ":",
            "ab:",
            "ab:\"",
            "ab: \"x\"y",
            "\n",
            "Negative prompt:\n",
        ] {
            let text = format!(
                "a cat {}\n{SETTINGS}",
                piece.repeat((1 << 19) / piece.len())
            );
            let embedded = parsed(&text);
            assert!(embedded.prompt.starts_with("a cat"), "{piece}");
            assert_eq!(embedded.seed, Some(1), "{piece}");
        }
    }

    #[test]
    fn json_is_left_to_others() {
        let texts = Texts(vec![(
            "parameters".to_owned(),
            "{\"Prompt\": \"a cat\"}".to_owned(),
        )]);
        assert_eq!(find(&texts), None);
    }
}
