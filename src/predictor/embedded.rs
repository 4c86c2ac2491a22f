//! The pocket models that are part of the library, so that it works without any download.

/// A built-in model: the contents of its folder under `assets/`.
pub(crate) struct EmbeddedModel {
    pub(crate) name: &'static str,
    pub(crate) config: &'static str,
    pub(crate) vocabulary: &'static str,
    pub(crate) confidence: &'static str,
    pub(crate) weights: &'static [u8],
}

const MODELS: &[EmbeddedModel] = &[EmbeddedModel {
    name: "vit",
    config: include_str!("../../assets/vit/config.json"),
    vocabulary: include_str!("../../assets/vit/vocabulary.txt"),
    confidence: include_str!("../../assets/vit/confidence.json"),
    weights: include_bytes!("../../assets/vit/model.safetensors"),
}];

/// The built-in model of this name.
pub(crate) fn find(name: &str) -> Option<&'static EmbeddedModel> {
    MODELS.iter().find(|model| model.name == name)
}

/// Names of all built-in models.
pub fn names() -> Vec<String> {
    MODELS.iter().map(|model| model.name.to_owned()).collect()
}
