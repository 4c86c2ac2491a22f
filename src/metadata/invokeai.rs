//! InvokeAI: JSON under `invokeai_metadata`, before that under `sd-metadata`, and first of all a command line
//! under `Dream`.

use super::json::Object;
use super::{Embedded, Texts};

const NAME: &str = "invokeai";

/// What InvokeAI wrote.
pub(super) fn find(texts: &Texts) -> Option<Embedded> {
    let of = |keyword: &str, read: fn(&str) -> Option<Embedded>| texts.get(keyword).and_then(read);
    of("invokeai_metadata", metadata)
        .or_else(|| of("sd-metadata", sd_metadata))
        .or_else(|| of("Dream", dream))
}

fn metadata(text: &str) -> Option<Embedded> {
    let object = Object::parse(text)?;
    let model = object.object(&["model"]);
    let mut embedded = object.embedded(NAME)?;
    embedded.model = embedded
        .model
        .or_else(|| model?.text(&["name", "model_name", "key"]));
    Some(embedded)
}

fn sd_metadata(text: &str) -> Option<Embedded> {
    let whole = Object::parse(text)?;
    let image = whole.object(&["image"])?;
    // A list of weighted prompts, or one text; negative prompts stand in square brackets.
    let prompt = image.text(&["prompt"]).or_else(|| {
        let all = image.0.get("prompt")?.as_array()?;
        let texts = all.iter().filter_map(|it| it.get("prompt")?.as_str());
        Some(texts.collect::<Vec<_>>().join(", "))
    })?;
    let (prompt, negative_prompt) = split(&prompt);
    let mut map = image.0;
    map.insert("prompt".to_owned(), prompt.into());
    let embedded = Object(map).embedded(NAME)?;
    Some(Embedded {
        negative_prompt,
        model: whole.text(&["model_weights", "model"]),
        ..embedded
    })
}

/// `"a cat [dog]" -s 50 -S 7 -W 512 -H 512 -C 7.5 -A k_lms`
fn dream(text: &str) -> Option<Embedded> {
    let text = text.trim();
    let (prompt, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.rsplit_once('"')?,
        // The flags keep their dashes.
        None => text.split_at(text.find(" -").unwrap_or(text.len())),
    };
    let (prompt, negative_prompt) = split(prompt);
    if prompt.is_empty() {
        return None;
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    // `-s 50`, `-s50` or `-Ak_lms`, but not `-save` or `--seamless`.
    let value = |flag: &str| {
        let own = |word: &str| word.strip_prefix(flag).map(str::to_owned);
        let mut flags = words.iter().enumerate();
        flags.find_map(|(place, word)| match own(word)?.as_str() {
            "" => words.get(place + 1).map(|it| (*it).to_owned()),
            own if flag != "-A" && own.starts_with(char::is_alphabetic) => None,
            own => Some(own.to_owned()),
        })
    };
    Some(Embedded {
        generator: NAME.to_owned(),
        prompt,
        negative_prompt,
        seed: value("-S").and_then(|it| it.parse().ok()),
        steps: value("-s").and_then(|it| it.parse().ok()),
        cfg: value("-C")
            .and_then(|it| it.parse().ok())
            .filter(|it: &f64| it.is_finite()),
        sampler: value("-A"),
        model: None,
    })
}

/// A prompt, and what stands in it in square brackets.
fn split(text: &str) -> (String, Option<String>) {
    let (mut wanted, mut unwanted) = (String::new(), vec![]);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((inside, after)) = after.split_once(']') else {
            break;
        };
        wanted.push_str(before);
        unwanted.push(inside.trim());
        rest = after;
    }
    wanted.push_str(rest);
    let wanted = wanted.split_whitespace().collect::<Vec<_>>().join(" ");
    (wanted, (!unwanted.is_empty()).then(|| unwanted.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keyword: &str, text: &str) -> Embedded {
        find(&Texts(vec![(keyword.to_owned(), text.to_owned())]))
            .unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn three_generations_of_files_are_read() {
        let new = r#"{"positive_prompt": "a cat", "negative_prompt": "dog", "seed": 7, "steps": 50, "cfg_scale": 7.5,
            "scheduler": "k_lms", "model": {"model_name": "sdxl"}}"#;
        let old = r#"{"model_weights": "sdxl", "image": {"prompt": [{"prompt": "a cat [dog]", "weight": 1.0}], "seed": 7,
            "steps": 50, "cfg_scale": 7.5, "sampler": "k_lms"}}"#;
        let first = r#""a cat [dog]" -s 50 -S 7 -W 512 -H 512 -C 7.5 -A k_lms"#;
        for (keyword, text, model) in [
            ("invokeai_metadata", new, Some("sdxl")),
            ("sd-metadata", old, Some("sdxl")),
            ("Dream", first, None),
            (
                "Dream",
                &first.replace("-s 50 -S 7", "-s50 -S7").replace("-A ", "-A"),
                None,
            ),
        ] {
            let expected = Embedded {
                generator: "invokeai".into(),
                prompt: "a cat".into(),
                negative_prompt: Some("dog".into()),
                seed: Some(7),
                steps: Some(50),
                cfg: Some(7.5),
                sampler: Some("k_lms".into()),
                model: model.map(str::to_owned),
            };
            assert_eq!(found(keyword, text), expected, "{text}");
        }
        assert_eq!(found("Dream", "a cat").prompt, "a cat");
        let bare = found("Dream", "a cat -s 50 -S 7");
        assert_eq!(
            (bare.prompt.as_str(), bare.steps, bare.seed),
            ("a cat", Some(50), Some(7))
        );
        let others = r#""a cat" --seamless -save_original s -s50"#;
        assert_eq!(found("Dream", others).steps, Some(50));
        let none = Texts(vec![("Dream".to_owned(), "\"\" -s 5".to_owned())]);
        assert_eq!(find(&none), None);
    }
}
