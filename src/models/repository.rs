//! Any repository of the hub: what of it is fetched, and how it is checked.
//!
//! Of weights only safetensors are fetched, and of several copies one; beside them what says how to use them. The
//! hub lists the SHA-256 of large files, which [`Part`](super::source) checks; small ones, whose digest it does not
//! list, are read whole and compared by length.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::catalogue::ModelFile;
use super::progress::Progress;
use super::source::{Hub, SourceError};
use super::stamp::Stamps;
use crate::error::Error;
use crate::files::write_atomically;

type Result<T> = std::result::Result<T, SourceError>;

/// The longest list of files that is read.
const MAX_LISTING_BYTES: u64 = 16 << 20;

/// The largest file without a digest.
const MAX_SMALL_BYTES: u64 = 64 << 20;

/// The file that says which repository a folder is of.
const ORIGIN: &str = ".repository";

/// Folders that hold the same for other programs, or parts that are never used.
const OTHERS: [&str; 6] = [
    "onnx",
    "openvino",
    "coreml",
    "safety_checker",
    "feature_extractor",
    "flax",
];

/// What the hub says of a repository at a revision.
#[derive(Deserialize)]
struct Listing {
    /// The commit.
    sha: String,
    siblings: Vec<Sibling>,
}

/// A file of it.
#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

/// What is known of a large file.
#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// The last part of `OWNER/NAME`, which becomes the folder's name.
pub(super) fn name(id: &str) -> Result<&str> {
    let plain = |part: &str| {
        let usual = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(usual)
    };
    match id.split_once('/') {
        Some((owner, name)) if plain(owner) && plain(name) => Ok(name),
        _ => Err(SourceError::NotAName { id: id.to_owned() }),
    }
}

/// A repository at a revision.
pub(super) struct Repository<'a> {
    hub: &'a Hub,
    id: &'a str,
    listing: Listing,
}

impl<'a> Repository<'a> {
    /// Asks the hub for its files.
    pub(super) fn list(hub: &'a Hub, id: &'a str, revision: &str) -> Result<Self> {
        let path = format!("api/models/{id}/revision/{revision}?blobs=true");
        let listing = hub.small(&path, "the list of files", MAX_LISTING_BYTES)?;
        let listing: Listing =
            serde_json::from_slice(&listing).map_err(|source| SourceError::Listing { source })?;
        if !wanted(&listing.siblings)
            .iter()
            .any(|it| is_weights(&it.rfilename))
        {
            return Err(SourceError::NoSafetensors);
        }
        Ok(Self { hub, id, listing })
    }

    /// Fetches what is missing of it into `folder`.
    pub(super) fn fetch(&self, folder: &Path, progress: &mut dyn Progress) -> Result<()> {
        check_origin(folder, self.id)?;
        for sibling in wanted(&self.listing.siblings) {
            match &sibling.lfs {
                Some(lfs) => self.large(&sibling.rfilename, lfs, folder, progress)?,
                None => self.small(sibling, folder)?,
            }
        }
        Ok(())
    }

    /// A file whose digest is known, unless it is there.
    fn large(
        &self,
        name: &str,
        lfs: &Lfs,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let metadata = fs::metadata(folder.join(name));
        let stamps = Stamps::load(folder);
        if metadata.is_ok_and(|it| stamps.knows(name, &it, &lfs.sha256)) {
            return Ok(());
        }
        let file = ModelFile {
            name,
            size_bytes: lfs.size,
            sha256: &lfs.sha256,
        };
        let place = (self.id, self.listing.sha.as_str());
        self.hub.fetch_file(place, &file, folder, progress)
    }

    /// A file whose length alone is known.
    fn small(&self, sibling: &Sibling, folder: &Path) -> Result<()> {
        let name = &sibling.rfilename;
        if is_weights(name) {
            return Err(SourceError::NoDigest { file: name.clone() });
        }
        let path = format!("{}/resolve/{}/{name}", self.id, self.listing.sha);
        let size = sibling.size.unwrap_or(MAX_SMALL_BYTES).min(MAX_SMALL_BYTES);
        let bytes = self.hub.small(&path, name, size)?;
        let target = folder.join(name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        Ok(write_atomically(&target, &bytes)?)
    }
}

/// Refuses a folder that another repository was fetched into.
fn check_origin(folder: &Path, id: &str) -> Result<()> {
    let path = folder.join(ORIGIN);
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() != id => Err(SourceError::OtherRepository {
            folder: folder.display().to_string(),
            found: found.trim().to_owned(),
        }),
        Ok(_) => Ok(()),
        Err(_) => Ok(write_atomically(&path, id.as_bytes())?),
    }
}

/// Whether a folder may hold what was fetched of a repository; one that was placed by hand does not say.
pub(super) fn is_of(folder: &Path, id: &str) -> bool {
    let found = fs::read_to_string(folder.join(ORIGIN));
    found.map_or(true, |found| found.trim() == id)
}

fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors")
}

/// What is fetched of these files.
fn wanted(all: &[Sibling]) -> Vec<&Sibling> {
    let has = |name: &str| all.iter().any(|it| it.rfilename == name);
    let is_pipeline = has("model_index.json");
    let is_wanted = |sibling: &&Sibling| {
        let name = sibling.rfilename.as_str();
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        // Below a pipeline's folders is nothing that is read, and nothing leads out of the model's own.
        let safe = !name.contains('\\')
            && !name
                .split('/')
                .any(|part| part.is_empty() || part.starts_with('.'));
        let read = [".json", ".txt", ".safetensors"]
            .iter()
            .any(|end| file.ends_with(end));
        if !safe || !read || folder.contains('/') || OTHERS.contains(&folder) {
            return false;
        }
        // Copies: of a whole pipeline in one file, in half precision, without averaging, of both layouts of a CLIP.
        let plain = |end: &str| {
            let stem = file.strip_suffix(end);
            stem.is_some_and(|stem| has(&name.replace(file, &format!("{stem}.safetensors"))))
        };
        let is_copy = is_weights(name)
            && ((is_pipeline && folder.is_empty())
                || plain(".fp16.safetensors")
                || file.contains(".non_ema.")
                || (file == "open_clip_model.safetensors" && has("model.safetensors")));
        !is_copy
    };
    all.iter().filter(is_wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_copies_one_is_fetched() {
        let chosen = |names: &[&str]| -> Vec<String> {
            let all: Vec<Sibling> = names
                .iter()
                .map(|name| Sibling {
                    rfilename: (*name).to_owned(),
                    size: None,
                    lfs: None,
                })
                .collect();
            wanted(&all).iter().map(|it| it.rfilename.clone()).collect()
        };
        let pipeline = [
            "model_index.json",
            "v1-5-pruned.safetensors",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.non_ema.safetensors",
            "unet/diffusion_pytorch_model.bin",
            "safety_checker/model.safetensors",
            "tokenizer/merges.txt",
            "README.md",
            ".gitattributes",
        ];
        let parts = [pipeline[0], pipeline[2], pipeline[3], pipeline[8]];
        assert_eq!(chosen(&pipeline), parts);
        let half = ["vae/diffusion_pytorch_model.fp16.safetensors"];
        assert_eq!(chosen(&half), half);
        let clip = [
            "model.safetensors",
            "open_clip_model.safetensors",
            "config.json",
        ];
        assert_eq!(chosen(&clip), [clip[0], clip[2]]);
        assert_eq!(chosen(&["open_clip_model.safetensors"]).len(), 1);
        let outside = [
            "../a.json",
            "/etc/a.json",
            "a/../b.json",
            "a\\b.json",
            "a/b/c.json",
        ];
        assert!(chosen(&outside).is_empty());
    }

    #[test]
    fn names_are_those_of_repositories() {
        assert_eq!(
            name("openai/clip-vit-base-patch32").unwrap(),
            "clip-vit-base-patch32"
        );
        for id in ["clip", "a/b/c", "../b", "a/..", "a/", "a/b?c", "a/.git"] {
            assert!(name(id).is_err(), "{id}");
        }
    }
}
