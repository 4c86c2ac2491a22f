//! A storage that knows what a power cut may leave of it.
//!
//! It works on the real file system and keeps apart what is durable: the bytes of a file as they
//! were when it was last synced, and the names in a folder as they were when that was. All else
//! may be lost: of the names that were added, removed or renamed since, each for itself; of bytes,
//! all behind some place, or they may be zeros. It fails calls as it is told to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use unprompt_index::Storage;

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power fails before it, so that this and all later calls fail.
    CutBefore,
    /// The power fails when it has done its work, before it can say so.
    CutAfter,
    /// It alone fails, and has done nothing.
    FailBefore,
    /// It alone fails, but has done its work.
    FailAfter,
}

/// What a power cut leaves.
pub(crate) enum Luck {
    /// What is durable, nothing else.
    None,
    /// All that was there.
    All,
    /// Something between the two.
    Some(Box<ChaCha8Rng>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    SyncFile,
    SyncDir,
    Rename,
    Remove,
}

/// A call, and what it was about; of a renaming, the new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call(pub(crate) Kind, pub(crate) PathBuf);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    inode: u64,
    is_dir: bool,
}

type Listing = BTreeMap<OsString, Entry>;

/// Files and folders by inode.
#[derive(Clone, Default)]
struct Tree {
    files: HashMap<u64, Vec<u8>>,
    folders: HashMap<u64, Listing>,
}

/// A moment: what was durable, and what was there.
pub(crate) struct Picture {
    root: u64,
    durable: Tree,
    live: Tree,
    /// Calls that have done their work.
    pub(crate) done: usize,
}

#[derive(Default)]
struct State {
    durable: Tree,
    /// Every file and folder seen, open, so that no inode number is used again.
    kept: HashMap<u64, File>,
    calls: Vec<Call>,
    fault: Option<(usize, Fault)>,
    is_cut: bool,
    filming: bool,
    pictures: Vec<Picture>,
}

/// The storage, for all that is below a folder.
pub(crate) struct Medium {
    root: PathBuf,
    state: Mutex<State>,
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Medium").field(&self.root).finish()
    }
}

impl Medium {
    /// All that is there now is durable.
    pub(crate) fn new(root: &Path) -> Arc<Medium> {
        let mut state = State::default();
        state.durable = state.look(root).unwrap();
        Arc::new(Medium {
            root: root.canonicalize().unwrap(),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets a fault happen at a call; at a cut, takes a picture.
    pub(crate) fn arm(&self, call: usize, fault: Fault) {
        self.state().fault = Some((call, fault));
    }

    /// No more faults; from now on perhaps a picture before every call.
    pub(crate) fn recover(&self, filming: bool) {
        let mut state = self.state();
        (state.fault, state.is_cut, state.filming) = (None, false, filming);
    }

    /// The pictures taken, and the calls that were made.
    pub(crate) fn take(&self) -> (Vec<Picture>, Vec<Call>) {
        let mut state = self.state();
        (std::mem::take(&mut state.pictures), state.calls.clone())
    }

    pub(crate) fn picture(&self, done: usize) -> Picture {
        self.state().picture(&self.root, done)
    }

    fn call(
        &self,
        kind: Kind,
        path: &Path,
        work: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state();
        let number = state.calls.len();
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        state.calls.push(Call(kind, below.to_owned()));
        let fault = state.fault.filter(|(at, _)| *at == number);
        let fault = fault.map(|(_, fault)| fault);
        if state.filming || fault == Some(Fault::CutBefore) {
            let picture = state.picture(&self.root, number);
            state.pictures.push(picture);
        }
        state.is_cut |= fault == Some(Fault::CutBefore);
        if state.is_cut || fault == Some(Fault::FailBefore) {
            return Err(io::Error::other("a fault of the medium"));
        }
        let done = work(&mut state);
        if fault == Some(Fault::CutAfter) {
            let picture = state.picture(&self.root, number + 1);
            state.pictures.push(picture);
            state.is_cut = true;
        }
        match fault {
            Some(_) => Err(io::Error::other("a fault of the medium")),
            None => done,
        }
    }
}

impl State {
    fn keep(&mut self, path: &Path) -> io::Result<Entry> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let inode = metadata.ino();
        self.kept.entry(inode).or_insert(file);
        Ok(Entry {
            inode,
            is_dir: metadata.is_dir(),
        })
    }

    fn listing(&mut self, dir: &Path) -> io::Result<Listing> {
        fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name(), self.keep(&entry.path())?))
            })
            .collect()
    }

    /// All that is there.
    fn look(&mut self, root: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        let mut dirs = vec![root.to_owned()];
        while let Some(dir) = dirs.pop() {
            let listing = self.listing(&dir)?;
            for (name, entry) in &listing {
                let path = dir.join(name);
                if entry.is_dir {
                    dirs.push(path);
                } else {
                    tree.files.insert(entry.inode, fs::read(path)?);
                }
            }
            tree.folders.insert(self.keep(&dir)?.inode, listing);
        }
        Ok(tree)
    }

    fn picture(&mut self, root: &Path, done: usize) -> Picture {
        let mut live = self.look(root).unwrap();
        // What has lost its name may get it back.
        let durable = self.durable.folders.values().flat_map(Listing::values);
        for entry in durable.filter(|entry| !entry.is_dir) {
            live.files.entry(entry.inode).or_insert_with(|| {
                let file = &self.kept[&entry.inode];
                let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
                file.read_exact_at(&mut bytes, 0).unwrap();
                bytes
            });
        }
        Picture {
            root: self.keep(root).unwrap().inode,
            durable: self.durable.clone(),
            live,
            done,
        }
    }
}

impl Storage for Medium {
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.call(Kind::SyncFile, path, |state| {
            let inode = state.keep(path)?.inode;
            state.durable.files.insert(inode, fs::read(path)?);
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(Kind::SyncDir, path, |state| {
            if !path.starts_with(&self.root) {
                return Ok(());
            }
            let inode = state.keep(path)?.inode;
            let listing = state.listing(path)?;
            state.durable.folders.insert(inode, listing);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Kind::Rename, to, |_| fs::rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(Kind::Remove, path, |_| fs::remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call(Kind::Remove, path, |_| fs::remove_dir_all(path))
    }
}

impl Picture {
    /// Makes a folder of what is left after a power cut at this moment.
    pub(crate) fn develop(&self, luck: &mut Luck, to: &Path) {
        self.folder(self.root, luck, to);
    }

    fn folder(&self, inode: u64, luck: &mut Luck, to: &Path) {
        fs::create_dir(to).unwrap();
        let none = Listing::new();
        let before = self.durable.folders.get(&inode).unwrap_or(&none);
        let after = self.live.folders.get(&inode).unwrap_or(&none);
        let names: BTreeSet<&OsString> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (before, after) = (before.get(name), after.get(name));
            let entry = match luck {
                _ if before == after => after,
                Luck::None => before,
                Luck::All => after,
                Luck::Some(rng) => [before, after][usize::from(rng.random::<bool>())],
            };
            let path = to.join(name);
            match entry {
                Some(entry) if entry.is_dir => self.folder(entry.inode, luck, &path),
                Some(entry) => fs::write(path, self.bytes(entry.inode, luck)).unwrap(),
                None => {}
            }
        }
    }

    fn bytes(&self, inode: u64, luck: &mut Luck) -> Vec<u8> {
        let before = self.durable.files.get(&inode);
        let after = &self.live.files[&inode];
        let durable = || before.cloned().unwrap_or_default();
        match luck {
            Luck::None => durable(),
            Luck::Some(rng) if before != Some(after) => match rng.random_range(0..4) {
                0 => durable(),
                1 => after[..rng.random_range(0..=after.len())].to_vec(),
                2 => vec![0; after.len()],
                _ => after.clone(),
            },
            _ => after.clone(),
        }
    }
}
