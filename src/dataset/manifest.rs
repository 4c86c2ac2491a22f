//! `dataset.json`: what a data set was made with, so that a run that was stopped goes on with the
//! same, and a model that was trained on it can name it.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::draw::{GUIDANCE, SAMPLERS, STEPS};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::models::digest;

/// The name of the file.
pub const FILE: &str = "dataset.json";

/// All that decides what a data set holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// SHA-256 of the diffusion model's files.
    pub model_sha256: String,
    /// Seed of prompts and settings.
    pub seed: u64,
    /// Images of the training side.
    pub train: usize,
    /// Images of the validation side.
    pub validation: usize,
    /// Images of the test side.
    pub test: usize,
    /// Images of a part; the last one has what is left.
    pub images_per_part: usize,
    /// [`STEPS`].
    pub steps: [u16; 2],
    /// [`GUIDANCE`].
    pub guidance: [f32; 2],
    /// The samplers that are drawn from.
    pub samplers: Vec<String>,
}

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What decides what the data set holds.
    #[serde(flatten)]
    pub settings: Settings,
    /// The diffusion model, as it was named.
    pub model: String,
    /// The command that asked for it.
    pub command: String,
    /// The commit that the program was built from.
    pub commit: String,
    /// The program's version.
    pub unprompt_version: String,
}

impl Settings {
    /// Those of a data set without images, drawn as the [`draw`](super::draw) module does it.
    pub(super) fn new(model_sha256: String, seed: u64, images_per_part: usize) -> Self {
        Self {
            model_sha256,
            seed,
            train: 0,
            validation: 0,
            test: 0,
            images_per_part,
            steps: STEPS,
            guidance: GUIDANCE,
            samplers: SAMPLERS.map(|kind| kind.name().to_owned()).to_vec(),
        }
    }
}

impl Manifest {
    /// Makes `folder` the place of this data set: writes the file, or finds the settings of one that
    /// is there to be the same.
    ///
    /// # Errors
    /// [`Error::OtherDataset`] if they are not, [`Error::NotEmpty`] if the folder holds something
    /// else, [`Error::DatasetManifest`] if the file is damaged, [`Error::Io`].
    pub(super) fn settle(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let path = folder.join(FILE);
        let failed = |source| {
            let path = path.clone();
            Error::DatasetManifest { path, source }
        };
        match fs::read_to_string(&path) {
            Ok(json) => {
                let found: Self = serde_json::from_str(&json).map_err(failed)?;
                if found.settings == self.settings {
                    return Ok(());
                }
                let differences = differences(&found.settings, &self.settings).map_err(failed)?;
                Err(Error::OtherDataset {
                    path: folder.to_owned(),
                    differences,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
                // Hidden is what a run left that was killed while it wrote the file.
                let is_hidden =
                    |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
                if entries.any(|entry| !entry.is_ok_and(|entry| is_hidden(&entry))) {
                    return Err(Error::NotEmpty {
                        path: folder.to_owned(),
                        needed: FILE,
                    });
                }
                let json = serde_json::to_string_pretty(self).map_err(failed)?;
                write_atomically(&path, (json + "\n").as_bytes())
            }
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }
}

/// Each setting that differs, with its values.
fn differences(found: &Settings, asked: &Settings) -> serde_json::Result<String> {
    let (found, asked) = (serde_json::to_value(found)?, serde_json::to_value(asked)?);
    let names = asked
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys());
    let value = |settings: &Value, name: &String| settings.get(name).cloned().unwrap_or_default();
    let differences: Vec<String> = names
        .map(|name| (name, value(&found, name), value(&asked, name)))
        .filter(|(_, found, asked)| found != asked)
        .map(|(name, found, asked)| format!("{name} {found}, asked for {asked}"))
        .collect();
    Ok(differences.join("; "))
}

/// SHA-256 of a data set's manifest, lower-case hexadecimal; `None` for a folder without one.
///
/// # Errors
/// [`Error::Io`] if it cannot be read.
pub fn sha256(folder: &Path) -> Result<Option<String>> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let digest = digest::of_file(&path).map_err(Error::io("read", &path))?;
    Ok(Some(digest))
}
