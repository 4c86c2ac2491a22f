//! The points at which bytes and names become lasting, behind a trait.
//!
//! A commit is safe if these calls come in the right order. A test replaces [`Disk`] by a storage
//! that remembers what is durable and what is not, and stops the world at every one of them.
//! Bytes are written and read past it: until they are synced, they promise nothing.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a commit asks of the medium.
pub trait Storage: Debug + Send + Sync {
    /// Forces the bytes of a file to the medium.
    ///
    /// # Errors
    /// What the system says.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Forces the names in a folder to the medium.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, replacing what has that name, all or nothing.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with all that is in it.
    ///
    /// # Errors
    /// What the system says.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)?
            .sync_all()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Elsewhere a folder cannot be opened as a file, and its names need no forcing.
        if cfg!(unix) {
            File::open(path)?.sync_all()
        } else {
            Ok(())
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}

/// The folder of an index, and the storage that it is on: [`Disk`], where nothing is said.
#[derive(Clone, Debug)]
pub struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) storage: Arc<dyn Storage>,
}

impl Place {
    /// The folder `dir` on another storage than [`Disk`].
    pub fn on(dir: impl Into<PathBuf>, storage: Arc<dyn Storage>) -> Place {
        Place {
            dir: dir.into(),
            storage,
        }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Place {
    fn from(dir: &P) -> Place {
        Place::on(dir.as_ref(), Arc::new(Disk))
    }
}
