//! Fields of JSON objects, under the names that generators give them.

use serde_json::{Map, Value};

use super::Embedded;

/// The longest JSON that is looked at, in bytes.
const MAX_BYTES: usize = 8 << 20;

/// A JSON object.
#[derive(Debug)]
pub(super) struct Object(pub(super) Map<String, Value>);

impl Object {
    /// Of a text; `None` if it is none. Python's `NaN` and `Infinity`, which some write, count as null.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES || !text.trim_start().starts_with('{') {
            return None;
        }
        let parse = |text: &str| serde_json::from_str(text).ok().map(Self);
        parse(text).or_else(|| parse(&without_odd_numbers(text)))
    }

    /// The object under the first of these names that has one, in itself or as text.
    pub(super) fn object(&self, names: &[&str]) -> Option<Self> {
        self.first(names, |value| match value {
            Value::Object(map) => Some(Self(map.clone())),
            Value::String(text) => Self::parse(text),
            _ => None,
        })
    }

    /// The text under the first of these names that has one which is not blank.
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        self.first(names, |value| {
            let text = value.as_str()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        })
    }

    /// The whole number under the first of these names that has one, written as text or not.
    pub(super) fn whole(&self, names: &[&str]) -> Option<u64> {
        self.first(names, |value| match value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_u64().or_else(|| {
                let number = other.as_f64()?;
                (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
            }),
        })
    }

    /// The number under the first of these names that has one, written as text or not.
    pub(super) fn number(&self, names: &[&str]) -> Option<f64> {
        self.first(names, |value| match value {
            Value::String(text) => text.trim().parse().ok().filter(|it: &f64| it.is_finite()),
            other => other.as_f64(),
        })
    }

    fn first<T>(&self, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        names.iter().find_map(|name| read(self.0.get(*name)?))
    }

    /// What stands under the names that most generators agree on; `None` without a prompt.
    pub(super) fn embedded(&self, generator: &str) -> Option<Embedded> {
        let steps = self.whole(&["steps", "Steps", "num_inference_steps"]);
        Some(Embedded {
            generator: generator.to_owned(),
            prompt: self.text(&["prompt", "Prompt", "positive_prompt"])?,
            negative_prompt: self.text(&[
                "negative_prompt",
                "negativePrompt",
                "negativeprompt",
                "Negative",
                "uc",
            ]),
            seed: self.whole(&["seed", "Seed"]),
            steps: steps.and_then(|steps| u32::try_from(steps).ok()),
            cfg: self.number(&[
                "cfg_scale",
                "cfgScale",
                "cfgscale",
                "cfg",
                "guidance_scale",
                "scale",
            ]),
            sampler: self.text(&[
                "sampler_name",
                "sampler",
                "samplerName",
                "ksamplerName",
                "scheduler",
            ]),
            model: self.text(&["base_model", "base_model_name", "model", "Model"]),
        })
    }
}

/// `null` for what is no number in JSON, outside of texts: a prompt may speak of infinity.
fn without_odd_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let (mut is_text, mut is_escaped) = (false, false);
    while let Some(c) = rest.chars().next() {
        let odd = ["NaN", "-Infinity", "Infinity"];
        let odd = odd.iter().find(|odd| !is_text && rest.starts_with(**odd));
        if let Some(odd) = odd {
            out.push_str("null");
            rest = &rest[odd.len()..];
            continue;
        }
        is_text ^= c == '"' && !is_escaped;
        is_escaped = is_text && c == '\\' && !is_escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_text_and_text_may_be_an_object() {
        let object = Object::parse(
            r#"{"seed": "18446744073709551615", "steps": 20.0, "cfg": "7.5", "prompt": " a cat ",
                "odd": NaN, "odds": [NaN,NaN, -Infinity,Infinity], "mirror": "\"Infinity\", of NaN", "inner": "{\"a\": 1}", "other": {"a": -1}, "blank": " "}"#,
        )
        .unwrap();
        let embedded = object.embedded("test").unwrap();
        assert_eq!(embedded.prompt, "a cat");
        let mirror = object.text(&["mirror"]);
        assert_eq!(mirror.as_deref(), Some("\"Infinity\", of NaN"));
        assert_eq!(
            (embedded.seed, embedded.steps, embedded.cfg),
            (Some(u64::MAX), Some(20), Some(7.5))
        );
        assert_eq!(
            object.object(&["none", "inner"]).unwrap().whole(&["a"]),
            Some(1)
        );
        assert_eq!(object.object(&["other"]).unwrap().whole(&["a"]), None);
        assert_eq!(object.text(&["blank", "seed"]).unwrap().len(), 20);
    }

    #[test]
    fn other_texts_are_no_objects() {
        for text in ["", "a cat", "[1]", "{", "{a cat}"] {
            assert!(Object::parse(text).is_none(), "{text}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(1_000_000), "}".repeat(1_000_000));
        assert!(Object::parse(&deep).is_none());
    }
}
