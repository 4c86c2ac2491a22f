//! The pocket models that are part of the library, so that it works without any download.

/// A built-in model: the contents of its folder under `assets/`.
#[derive(Debug)]
pub(super) struct BuiltIn {
    name: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

/// A folder under `assets/` and those of its files that the program reads.
macro_rules! built_in {
    ($name:literal: $($file:literal),+) => {
        BuiltIn {
            name: $name,
            files: &[$((
                $file,
                include_bytes!(concat!("../../assets/", $name, "/", $file)),
            )),+],
        }
    };
}

const MODELS: &[BuiltIn] = &[
    built_in!(
        "vit": "config.json", "vocabulary.txt", "confidence.json", "residuals.safetensors",
        "familiarity.safetensors", "model.safetensors"
    ),
    built_in!(
        "pocket": "model_index.json", "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors", "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"
    ),
    built_in!("checker": "checker.json", "model.safetensors"),
];

impl BuiltIn {
    /// The contents of a file.
    pub(super) fn file(&self, name: &str) -> Option<&'static [u8]> {
        let found = self.files.iter().find(|(file, _)| *file == name);
        found.map(|(_, bytes)| *bytes)
    }
}

/// The built-in model of this name that holds the file `main`.
pub(super) fn find(name: &str, main: &str) -> Option<&'static BuiltIn> {
    let mut models = MODELS.iter();
    models.find(|model| model.name == name && model.file(main).is_some())
}

/// Names of all built-in models that hold the file `main`.
pub(super) fn names(main: &str) -> Vec<String> {
    let models = MODELS.iter().filter(|model| model.file(main).is_some());
    models.map(|model| model.name.to_owned()).collect()
}
