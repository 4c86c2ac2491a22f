//! Models by the folder that was named, or by the name of what was pulled.

use std::path::{Path, PathBuf};

use anyhow::Result;
use unprompt::bundle::Bundle;
use unprompt::diffusion::text_to_image::{TextToImage, files};
use unprompt::models::ModelStore;
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
    let kept = store.and_then(|store| store.folder(name_or_folder.to_str()?));
    kept.unwrap_or_else(given)
}

/// A trained model, a built-in one, or a published CLIP.
pub(super) fn predictor(name_or_folder: &str, global: &Global) -> Result<Predictor> {
    let device = global.device.open()?;
    let Some(clip) = published_folder(name_or_folder) else {
        return Ok(Predictor::open(name_or_folder, &device)?);
    };
    let name = format!("clip:{}", folder(clip).display());
    Ok(Predictor::open(&name, &device)?)
}

/// A diffusion model: a built-in one, one of ours, or a published one.
pub(super) fn diffusion(name_or_folder: &str, global: &Global) -> Result<TextToImage> {
    let device = global.device.open()?;
    if Bundle::open(name_or_folder, files::UNET_CONFIG).is_ok() {
        return Ok(TextToImage::open(name_or_folder, &device)?);
    }
    let folder = folder(Path::new(name_or_folder));
    Ok(TextToImage::open(&folder.to_string_lossy(), &device)?)
}
