//! What an image file itself says about its making: the prompt that a generator wrote into it.
//!
//! A carrier, the text chunks of a PNG or the EXIF fields of a JPEG or WebP, gives texts by keyword; a generator knows the
//! keywords and the form of its own. One more generator is one more file and one line of
//! `GENERATORS`. In go the bytes of any file, out comes an `Embedded` or nothing. [`mod@write`] goes the other way.

mod automatic1111;
mod comfyui;
mod diffusiondb;
mod exif;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod invokeai;
mod json;
mod novelai;
mod parameters;
mod png;
mod stealth;
pub mod write;

use serde::Serialize;
use serde::de::IgnoredAny;

/// The most text that is taken from one file, in bytes; what goes beyond is left out.
pub const MAX_TEXT_BYTES: usize = 16 << 20;

/// What a generator wrote into its image.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Embedded {
    /// The generator, in lower case: `automatic1111`.
    pub generator: String,
    /// What the image was to show; never empty.
    pub prompt: String,
    /// What it was not to show.
    pub negative_prompt: Option<String>,
    /// Seed of the generator.
    pub seed: Option<u64>,
    /// Sampling steps.
    pub steps: Option<u32>,
    /// Guidance scale.
    pub cfg: Option<f64>,
    /// Sampler, as the generator calls it.
    pub sampler: Option<String>,
    /// Name of the model.
    pub model: Option<String>,
}

/// Finds one generator's words among a file's texts.
type Generator = fn(&Texts) -> Option<Embedded>;

/// Every generator that is known; the first that finds its words answers.
const GENERATORS: &[Generator] = &[
    automatic1111::find,
    diffusiondb::find,
    novelai::find,
    invokeai::find,
    parameters::find,
    comfyui::find,
];

/// What the bytes of an image file say about its making; `None` if they are no image of a known
/// form, or say nothing that is understood.
///
/// Of a damaged file whatever stands before the damage is used. Pixels are looked at last, and only where
/// they have opacity.
///
/// ```
/// assert_eq!(unprompt::metadata::read(b"no image"), None);
/// ```
pub fn read(bytes: &[u8]) -> Option<Embedded> {
    let understood = |texts: &Texts| GENERATORS.iter().find_map(|find| find(texts));
    understood(&carried(bytes)?).or_else(|| understood(&stealth::texts(bytes)?))
}

/// All texts of an image file with their keywords, in the file's order, whether or not they are understood; none
/// if it is no image of a known form.
pub fn texts(bytes: &[u8]) -> Vec<(String, String)> {
    let all = [carried(bytes), stealth::texts(bytes)]
        .into_iter()
        .flatten();
    all.flat_map(|texts| texts.0).collect()
}

fn carried(bytes: &[u8]) -> Option<Texts> {
    png::texts(bytes).or_else(|| exif::texts(bytes))
}

/// The texts of one file with their keywords, in the file's order.
#[derive(Debug, Default)]
struct Texts(Vec<(String, String)>);

impl Texts {
    /// The first text of a keyword.
    fn get(&self, keyword: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == keyword)
            .map(|(_, text)| text.as_str())
    }
}

/// Whether a text is a JSON object or list, or a cut one. Prompts may begin with a bracket too:
/// `[cat:dog:0.5]`, `{red|blue} fox`.
fn is_json(text: &str) -> bool {
    let text = text.trim();
    let begins_an_object = text
        .strip_prefix('{')
        .is_some_and(|rest| rest.trim_start().starts_with('"'));
    begins_an_object
        || (text.starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_prompts_in_brackets() {
        for json in ["{}", " {\"a\": 1}", "[1, 2]", "{ \"3\": {\"inputs\": {\"se"] {
            assert!(is_json(json), "{json}");
        }
        for prompt in [
            "[cat:dog:0.5]",
            "{red|blue} fox",
            "(cat:1.2)",
            "\"a\"",
            "7",
            "",
        ] {
            assert!(!is_json(prompt), "{prompt}");
        }
    }

    #[test]
    fn embedded_has_the_promised_json() {
        let embedded = Embedded {
            generator: "automatic1111".into(),
            prompt: "a cat".into(),
            seed: Some(u64::MAX),
            cfg: Some(7.5),
            ..Embedded::default()
        };
        assert_eq!(
            serde_json::to_string(&embedded).unwrap(),
            "{\"generator\":\"automatic1111\",\"prompt\":\"a cat\",\"negative_prompt\":null,\
             \"seed\":18446744073709551615,\"steps\":null,\"cfg\":7.5,\"sampler\":null,\
             \"model\":null}"
        );
    }
}
