//! NovelAI: the prompt under `Description`, all else as JSON under `Comment`.

use super::json::Object;
use super::{Embedded, Texts};

/// What NovelAI wrote.
pub(super) fn find(texts: &Texts) -> Option<Embedded> {
    if texts.get("Software")?.trim() != "NovelAI" {
        return None;
    }
    let comment = texts.get("Comment").and_then(Object::parse);
    let described = texts
        .get("Description")
        .map(str::trim)
        .filter(|it| !it.is_empty());
    let mut embedded = match comment.as_ref().and_then(|it| it.embedded("novelai")) {
        Some(embedded) => embedded,
        // Earlier versions have the prompt in the description alone.
        None => {
            let mut map = comment.map(|it| it.0).unwrap_or_default();
            map.insert("prompt".to_owned(), described?.into());
            Object(map).embedded("novelai")?
        }
    };
    let source = texts
        .get("Source")
        .map(str::trim)
        .filter(|it| !it.is_empty());
    embedded.model = embedded.model.or(source.map(str::to_owned));
    Some(embedded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[(&str, &str)]) -> Option<Embedded> {
        let owned = |&(key, text): &(&str, &str)| (key.to_owned(), text.to_owned());
        find(&Texts(texts.iter().map(owned).collect()))
    }

    #[test]
    fn old_and_new_files_are_read() {
        let software = ("Software", "NovelAI");
        let old = r#"{"steps": 50, "sampler": "k_euler", "seed": 5, "scale": 10.0, "uc": "dog"}"#;
        let embedded = found(&[
            ("Description", "a cat"),
            software,
            ("Source", "Stable Diffusion 1D44365E"),
            ("Comment", old),
        ]);
        let expected = Embedded {
            generator: "novelai".into(),
            prompt: "a cat".into(),
            negative_prompt: Some("dog".into()),
            seed: Some(5),
            steps: Some(50),
            cfg: Some(10.0),
            sampler: Some("k_euler".into()),
            model: Some("Stable Diffusion 1D44365E".into()),
        };
        assert_eq!(embedded, Some(expected));
        let new = r#"{"prompt": "a cat, in full", "seed": 5}"#;
        let embedded = found(&[("Description", "a cat"), software, ("Comment", new)]).unwrap();
        assert_eq!(embedded.prompt, "a cat, in full");
        assert_eq!(
            found(&[("Description", "a cat"), software]).unwrap().prompt,
            "a cat"
        );
        assert_eq!(
            found(&[("Description", "a cat"), ("Software", "GIMP")]),
            None
        );
        assert_eq!(found(&[software, ("Comment", old)]), None);
    }
}
