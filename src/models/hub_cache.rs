//! Whatever other programs have fetched into the Hugging Face cache, by the names of its repositories.

use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::Cache;

use super::repository;

/// Every model that is read has one of these.
const MAIN_FILES: [&str; 3] = ["config.json", "model_index.json", "open_clip_config.json"];

/// The newest snapshot of a repository's main branch.
pub(super) fn snapshot(cache: &Cache, id: &str) -> Option<PathBuf> {
    repository::name(id).ok()?;
    let kept = cache.model(id.to_owned());
    let file = MAIN_FILES.iter().find_map(|file| kept.get(file))?;
    // Other programs fetch single files, too.
    let folder = file.parent().filter(|folder| has_weights(folder))?;
    Some(folder.to_owned())
}

/// Whether there are weights of the form that is read in a folder, or in one of those in it.
fn has_weights(folder: &Path) -> bool {
    let inside = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let are_weights = |path: &Path| path.extension().is_some_and(|it| it == "safetensors");
    inside(folder).any(|entry| {
        let path = entry.path();
        are_weights(&path) || inside(&path).any(|entry| are_weights(&entry.path()))
    })
}

/// The name of a model in `folder`: the folder's own, or of a snapshot `OWNER/NAME`.
pub(crate) fn name_of(folder: &Path) -> String {
    let name = |folder: &Path| Some(folder.file_name()?.to_string_lossy().into_owned());
    let repository = || {
        let snapshots = folder.parent().filter(|it| it.ends_with("snapshots"))?;
        let id = name(snapshots.parent()?)?;
        Some(id.strip_prefix("models--")?.replacen("--", "/", 1))
    };
    let own = || name(folder).unwrap_or_else(|| folder.display().to_string());
    repository().unwrap_or_else(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_found_and_go_by_the_name_of_their_repository() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned());
        let id = "openai/clip-vit-base-patch32";
        assert_eq!(snapshot(&cache, id), None);
        let kept = cache.model(id.to_owned());
        for commit in ["old", "new"] {
            let snapshot = kept.pointer_path(commit);
            fs::create_dir_all(&snapshot).unwrap();
            fs::write(snapshot.join("config.json"), "{}").unwrap();
            kept.create_ref(commit).unwrap();
        }
        assert_eq!(snapshot(&cache, id), None, "no weights");
        fs::create_dir(kept.pointer_path("new").join("unet")).unwrap();
        fs::write(kept.pointer_path("new").join("unet/x.safetensors"), "").unwrap();
        let found = snapshot(&cache, id).unwrap();
        assert_eq!(found, kept.pointer_path("new"));
        assert_eq!(name_of(&found), id);
        assert_eq!(name_of(folder.path().join("mine").as_path()), "mine");
        for name in ["clip-vit-base-patch32", "../openai", "openai/../x", ""] {
            assert_eq!(snapshot(&cache, name), None, "{name}");
        }
    }
}
