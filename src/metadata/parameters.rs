//! Tools that write JSON: Fooocus and RuinedFooocus, SwarmUI, and TensorArt.

use super::exif::USER_COMMENT;
use super::json::Object;
use super::{Embedded, Texts};

/// What one of them wrote.
pub(super) fn find(texts: &Texts) -> Option<Embedded> {
    if let Some(asked) = texts.get("generation_data") {
        return tensorart(&Object::parse(asked.trim_end_matches('\0').trim())?);
    }
    let text = texts
        .get("parameters")
        .or_else(|| texts.get(USER_COMMENT))?;
    let object = Object::parse(text)?;
    if let Some(asked) = object.object(&["sui_image_params"]) {
        return asked.embedded("swarmui");
    }
    // A graph of nodes may have a node of any name, but no text under it.
    object.embedded("fooocus")
}

fn tensorart(object: &Object) -> Option<Embedded> {
    let base = object.object(&["baseModel"]);
    let embedded = object.embedded("tensorart")?;
    Some(Embedded {
        model: base.and_then(|it| it.text(&["modelFileName", "label"])),
        ..embedded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keyword: &str, text: &str) -> Option<Embedded> {
        find(&Texts(vec![(keyword.to_owned(), text.to_owned())]))
    }

    #[test]
    fn each_is_told_by_its_form() {
        let fooocus = r#"{"prompt": "a cat", "negative_prompt": "dog", "seed": "7", "steps": 30, "guidance_scale": 4.0,
            "sampler": "dpmpp_2m", "base_model": "juggernaut"}"#;
        let ruined = r#"{"Prompt": "a cat", "Negative": "dog", "steps": 30, "cfg": 4, "seed": 7,
            "sampler_name": "dpmpp_2m", "base_model_name": "juggernaut"}"#;
        let swarm = r#"{"sui_image_params": {"prompt": "a cat", "negativeprompt": "dog", "model": "juggernaut",
            "seed": 7, "steps": 30, "cfgscale": 4.0, "sampler": "dpmpp_2m"}}"#;
        let tensor = r#"{"prompt": "a cat", "negativePrompt": "dog", "steps": 30, "cfgScale": 4, "seed": "7",
            "ksamplerName": "dpmpp_2m", "baseModel": {"modelFileName": "juggernaut"}}"#;
        for (keyword, text, generator) in [
            ("parameters", fooocus, "fooocus"),
            ("parameters", ruined, "fooocus"),
            (USER_COMMENT, fooocus, "fooocus"),
            ("parameters", swarm, "swarmui"),
            (USER_COMMENT, swarm, "swarmui"),
            ("generation_data", tensor, "tensorart"),
            ("generation_data", &format!("{tensor}\0"), "tensorart"),
        ] {
            let expected = Embedded {
                generator: generator.into(),
                prompt: "a cat".into(),
                negative_prompt: Some("dog".into()),
                seed: Some(7),
                steps: Some(30),
                cfg: Some(4.0),
                sampler: Some("dpmpp_2m".into()),
                model: Some("juggernaut".into()),
            };
            assert_eq!(found(keyword, text), Some(expected), "{text}");
        }
        for other in [
            "a cat",
            "{}",
            r#"{"prompt": ""}"#,
            r#"{"sui_image_params": {}}"#,
        ] {
            assert_eq!(found("parameters", other), None, "{other}");
        }
    }
}
