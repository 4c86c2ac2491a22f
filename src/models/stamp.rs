//! Remembers which files have been hashed, so that 90 MB are not read again at every start.
//!
//! A stamp file `.verified` has a line a file: digest, size, modification time in nanoseconds since
//! 1970, key. A file whose size or time has changed is hashed again. Losing the stamps costs a second,
//! so whatever goes wrong with them is no error.

use std::fs::{self, Metadata};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The name of the stamp file in a model's folder.
const FILE_NAME: &str = ".verified";

/// The stamps kept in one folder.
pub(super) struct Stamps {
    folder: PathBuf,
    lines: Vec<String>,
}

impl Stamps {
    /// The stamps in `folder`; none if there is no such file.
    pub(super) fn load(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join(FILE_NAME)).unwrap_or_default();
        Self {
            folder: folder.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    /// Whether the file called `key`, with this metadata, was found to have the digest `sha256`.
    pub(super) fn knows(&self, key: &str, metadata: &Metadata, sha256: &str) -> bool {
        line(key, metadata, sha256).is_some_and(|line| self.lines.contains(&line))
    }

    /// The digest that the file called `key`, with this metadata, was found to have.
    pub(super) fn digest(&self, key: &str, metadata: &Metadata) -> Option<String> {
        let of = |line: &String| line.split(' ').next().map(str::to_owned);
        let mut digests = self.lines.iter().filter_map(of);
        digests.find(|digest| self.knows(key, metadata, digest))
    }

    /// Remembers that it has.
    pub(super) fn add(&mut self, key: &str, metadata: &Metadata, sha256: &str) {
        let Some(line) = line(key, metadata, sha256) else {
            return;
        };
        self.lines
            .retain(|other| other.splitn(4, ' ').nth(3) != Some(key));
        self.lines.push(line);
        if let Err(error) = self.save() {
            tracing::debug!(%error, folder = %self.folder.display(), "stamps not saved");
        }
    }

    fn save(&self) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        for line in &self.lines {
            writeln!(file, "{line}")?;
        }
        file.persist(self.folder.join(FILE_NAME))?;
        Ok(())
    }
}

fn line(key: &str, metadata: &Metadata, sha256: &str) -> Option<String> {
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!(
        "{sha256} {} {} {key}",
        metadata.len(),
        modified.as_nanos()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_lasts_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some file");
        fs::write(&path, "one").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        Stamps::load(folder.path()).add("some file", &metadata, "d1");

        let stamps = Stamps::load(folder.path());
        assert!(stamps.knows("some file", &metadata, "d1"));
        assert!(!stamps.knows("some file", &metadata, "d2"));
        assert!(!stamps.knows("file", &metadata, "d1"));
        assert_eq!(stamps.digest("some file", &metadata).as_deref(), Some("d1"));

        fs::write(&path, "three").unwrap();
        assert!(!stamps.knows("some file", &fs::metadata(&path).unwrap(), "d1"));
    }
}
