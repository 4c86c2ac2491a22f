//! Models by the folder that was named, or by the name of what was pulled.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::Value;
use unprompt::bundle::Bundle;
use unprompt::diffusion::text_to_image::{TextToImage, files};
use unprompt::models::ModelStore;
use unprompt::predictor::files as predictor_files;
use unprompt::predictor::{Predictor, published_folder};

use crate::args::Global;

/// The folder itself if it is there, else that of this name among those that models are kept in, else the folder
/// itself, for an error that names it.
pub(super) fn folder(name_or_folder: &Path) -> PathBuf {
    let given = || name_or_folder.to_owned();
    if name_or_folder.exists() {
        return given();
    }
    let store = ModelStore::from_env().ok();
    let kept = store.and_then(|store| store.folder(name_or_folder.to_str()?.trim_end_matches('/')));
    kept.unwrap_or_else(given)
}

/// The same, which must be there.
pub(super) fn existing(name_or_folder: &Path) -> Result<PathBuf> {
    let folder = folder(name_or_folder);
    if !folder.is_dir() {
        bail!(
            "{}: there is no such folder, and no such model has been pulled: unprompt models pull OWNER/NAME",
            name_or_folder.display()
        );
    }
    Ok(folder)
}

/// A trained model, a built-in one, or a published CLIP.
pub(super) fn predictor(name_or_folder: &str, global: &Global) -> Result<Predictor> {
    let device = global.device.open()?;
    let Some(clip) = published_folder(name_or_folder) else {
        if is_published(Path::new(name_or_folder)) {
            bail!(
                "{name_or_folder} is a model as others publish it: clip:{name_or_folder} uses a CLIP as it is, and \
                 train --weights learns from it"
            );
        }
        return Ok(Predictor::open(name_or_folder, &device)?);
    };
    let name = format!("clip:{}", existing(clip)?.display());
    Ok(Predictor::open(&name, &device)?)
}

/// Whether a folder holds a model of others: its settings do not name an encoder of ours.
fn is_published(folder: &Path) -> bool {
    let text = std::fs::read(folder.join("config.json")).unwrap_or_default();
    let config: Option<Value> = serde_json::from_slice(&text).ok();
    config.is_some_and(|it| it.is_object() && it.get("encoder").is_none())
        || folder.join("open_clip_config.json").is_file()
}

/// A diffusion model: a built-in one, one of ours, or a published one.
pub(super) fn diffusion(name_or_folder: &str, global: &Global) -> Result<TextToImage> {
    let device = global.device.open()?;
    let model = TextToImage::open(&diffusion_name(name_or_folder), &device)?;
    Ok(model.with_precision(global.precision.on(&device)))
}

/// The name of a diffusion model that is built in, else the folder.
pub(super) fn diffusion_name(name_or_folder: &str) -> String {
    name(name_or_folder, files::UNET_CONFIG)
}

/// The name of a predictor that is built in, else the folder of one or of a BLIP.
pub(super) fn captioner_name(name_or_folder: &str) -> String {
    name(name_or_folder, predictor_files::CONFIG)
}

/// The name of a model that is built in, with the file `main`, else the folder.
fn name(name_or_folder: &str, main: &'static str) -> String {
    if Bundle::open(name_or_folder, main).is_ok() {
        return name_or_folder.to_owned();
    }
    let folder = folder(Path::new(name_or_folder));
    folder.to_string_lossy().into_owned()
}
