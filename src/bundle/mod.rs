//! The files of a model: a folder that a user names, or one that is built into the library.

mod embedded;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use self::embedded::BuiltIn;
use crate::error::{Error, Result};
use crate::weights;

/// A model's files by name.
#[derive(Clone, Debug)]
pub struct Bundle {
    name: String,
    built_in: Option<&'static BuiltIn>,
}

impl Bundle {
    /// The built-in model of this name, or the folder; it must hold the file `main`.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`] if there is neither.
    pub fn open(name_or_folder: &str, main: &'static str) -> Result<Self> {
        let bundle = Self {
            name: name_or_folder.to_owned(),
            built_in: embedded::find(name_or_folder, main),
        };
        if bundle.has(main) {
            return Ok(bundle);
        }
        Err(Error::UnknownBundle {
            given: name_or_folder.to_owned(),
            known: embedded::names(main),
            main,
        })
    }

    /// The folder, whatever built-in models are called.
    pub fn folder(path: &Path) -> Self {
        Self {
            name: path.to_string_lossy().into_owned(),
            built_in: None,
        }
    }

    /// The name or folder it was opened by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a model of the library, whose files cannot be written.
    pub fn is_built_in(&self) -> bool {
        self.built_in.is_some()
    }

    /// Whether there is such a file.
    pub fn has(&self, file: &str) -> bool {
        match self.built_in {
            Some(model) => model.file(file).is_some(),
            None => self.path(file).is_file(),
        }
    }

    /// The contents of a text file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn text(&self, file: &str) -> Result<String> {
        let path = self.path(file);
        let bytes = self.bytes(file)?;
        let text = String::from_utf8(bytes.into_owned());
        text.map_err(|error| Error::io("read", &path)(std::io::Error::other(error)))
    }

    /// What a JSON file describes.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::ModelConfig`] if it describes something else.
    pub fn json<T: DeserializeOwned>(&self, file: &str) -> Result<T> {
        serde_json::from_str(&self.text(file)?).map_err(|source| Error::ModelConfig {
            path: self.path(file),
            source,
        })
    }

    /// The tensors of a safetensors file in single precision, read when they are asked for.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Weights`] if it is damaged.
    pub fn weights(&self, file: &str, device: &Device) -> Result<VarBuilder<'static>> {
        match self.built_in {
            Some(_) => {
                let bytes = self.bytes(file)?.into_owned();
                VarBuilder::from_buffered_safetensors(bytes, DType::F32, device)
                    .map_err(|source| self.failed(file, source))
            }
            None => weights::open(&self.path(file), DType::F32, device),
        }
    }

    /// All tensors of a safetensors file in single precision.
    ///
    /// # Errors
    /// As for [`Bundle::weights`].
    pub fn tensors(&self, file: &str, device: &Device) -> Result<HashMap<String, Tensor>> {
        weights::in_single_precision(&self.bytes(file)?, device)
            .map_err(|source| self.failed(file, source))
    }

    /// SHA-256 of those of these files that there are, with their names: lower-case hexadecimal.
    ///
    /// # Errors
    /// [`Error::Io`] if one cannot be read.
    pub fn digest(&self, files: &[&str]) -> Result<String> {
        let mut hasher = Sha256::new();
        for file in files.iter().filter(|file| self.has(file)) {
            let bytes = self.bytes(file)?;
            hasher.update(format!("{file} {}\n", bytes.len()));
            hasher.update(&bytes);
        }
        Ok(hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    /// Turns candle's error about a tensor of `file` into ours, which names it.
    pub fn failed(&self, file: &str, source: candle_core::Error) -> Error {
        weights::failed(&self.path(file), source)
    }

    /// Where a file is, or what to call it where it is built in.
    pub fn path(&self, file: &str) -> PathBuf {
        Path::new(&self.name).join(file)
    }

    /// The contents of a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn bytes(&self, file: &str) -> Result<Cow<'static, [u8]>> {
        let path = self.path(file);
        let built_in = self.built_in.and_then(|model| model.file(file));
        match (self.built_in, built_in) {
            (_, Some(bytes)) => Ok(Cow::Borrowed(bytes)),
            (Some(_), None) => {
                let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
                Err(Error::io("read", &path)(missing))
            }
            (None, None) => std::fs::read(&path)
                .map(Cow::Owned)
                .map_err(Error::io("read", &path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_built_in_models_are_read_alike() {
        let built_in = Bundle::open("vit", "config.json").unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vit");
        let folder = Bundle::open(folder.to_str().unwrap(), "config.json").unwrap();
        for bundle in [&built_in, &folder] {
            assert!(bundle.has("vocabulary.txt") && !bundle.has("nothing"));
            assert!(bundle.text("nothing").is_err());
            let json: serde_json::Value = bundle.json("config.json").unwrap();
            assert_eq!(json["encoder"]["model_type"], "vit");
        }
        let (a, b) = (
            built_in.text("vocabulary.txt"),
            folder.text("vocabulary.txt"),
        );
        assert_eq!(a.unwrap(), b.unwrap());
    }

    #[test]
    fn other_names_are_refused_with_those_there_are() {
        let error = Bundle::open("vitt", "config.json").unwrap_err();
        assert!(error.to_string().contains("vit"), "{error}");
        assert!(matches!(error, Error::UnknownBundle { .. }));
    }
}
