//! The file LOCK: one writer at a time. The lock is the operating system's, on the opened file, so
//! that it ends with the process however that ends; the file itself means nothing and may stay.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::{Error, Result};

pub(super) const LOCK: &str = "LOCK";

/// Held for as long as it lives.
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file does not do where another thread is starting a program, which has it open, too, for a moment.
        // What cannot be unlocked is by closing.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of the index at `dir`, without waiting.
    pub(super) fn take(dir: &Path) -> Result<Lock> {
        let path = dir.join(LOCK);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path);
            let file = file.map_err(Error::io("open", &path))?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Lock { file }),
                // A writer that gave up has removed the file between our opening and locking it.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Locked {
                        path: dir.to_owned(),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
        }
    }
}

/// Whether the opened file is still the one of that name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.metadata()) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Elsewhere an open file keeps its name.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_its_holder_even_if_the_file_is_open_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        let elsewhere = lock.file.try_clone().unwrap();
        assert!(matches!(
            Lock::take(folder.path()),
            Err(Error::Locked { .. })
        ));
        drop(lock);
        Lock::take(folder.path()).unwrap();
        drop(elsewhere);
    }
}
