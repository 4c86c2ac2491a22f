//! The image files of an index, found again by their names below one folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::archives::Archives;
use super::diffusiondb::{unpacked_parts, zipped_parts};
use super::part;
use crate::error::{Error, Result};
use crate::image::decode;
use crate::image::files::is_image;

/// Folders of a name that are looked for below the folder.
const MAX_DEPTH: usize = 32;

/// A folder with the images of an index: as they lay when it was built, moved here from elsewhere, or in
/// DiffusionDB's parts, unpacked or zipped.
#[derive(Debug)]
pub struct Pictures {
    folder: PathBuf,
    unpacked: BTreeMap<u32, PathBuf>,
    /// Numbers in `archives`.
    zipped: BTreeMap<u32, usize>,
    archives: Archives,
}

/// Where an image lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In a zipped part of this number, by this name.
    Zipped(u32, String),
}

impl Pictures {
    /// Those below `folder`. Parts that are put there later are not seen; other files are.
    ///
    /// # Errors
    /// [`Error::Io`] if it is no folder or cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let failed = Error::io("read", folder);
        let folder = folder.canonicalize().map_err(failed)?;
        // Links that lead out of it lead nowhere.
        let is_inside = |path: &PathBuf| {
            let whole = path.canonicalize();
            whole.is_ok_and(|path| path.starts_with(&folder))
        };
        let mut archives = zipped_parts(&folder)?;
        archives.retain(is_inside);
        let numbers = archives.iter().zip(0..);
        let numbers = numbers.filter_map(|(path, at)| Some((part::number(path)?, at)));
        Ok(Self {
            unpacked: unpacked_parts(&folder)?,
            zipped: numbers.collect(),
            archives: Archives::new(archives),
            folder,
        })
    }

    /// Where the image of a name lies, if it does. A name is a path: from this folder, or from one that was somewhere
    /// else once, of which the end is looked for here. `part` tells in which part it is, and is asked only if it is in
    /// none of those places. Nothing outside of the folder is found, wherever links lead.
    pub fn find(&self, name: &str, part: impl FnOnce() -> Option<u32>) -> Option<Place> {
        if !is_image(Path::new(name)) {
            return None;
        }
        if let Some(file) = self.file(Path::new(name)).or_else(|| self.moved(name)) {
            return Some(Place::File(file));
        }
        let part = part()?;
        let folder = self.unpacked.get(&part);
        match folder.and_then(|folder| self.file(&folder.join(name))) {
            Some(file) => Some(Place::File(file)),
            None => {
                let zipped = self.zipped.contains_key(&part);
                zipped.then(|| Place::Zipped(part, name.to_owned()))
            }
        }
    }

    /// The bytes of an image.
    ///
    /// # Errors
    /// As for [`decode::read_file`]; [`Error::PartImage`] if it is not in its part.
    pub fn read(&self, place: &Place) -> Result<Vec<u8>> {
        let (part, name) = match place {
            Place::File(path) => return decode::read_file(path),
            Place::Zipped(part, name) => (part, name),
        };
        let archive = self.zipped.get(part).copied();
        let bytes = match archive {
            Some(archive) => self.archives.read(archive, name),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        bytes.map_err(|error| Error::PartImage {
            path: archive.map_or_else(PathBuf::new, |at| self.archives.path(at).to_owned()),
            image: name.clone(),
            source: error.into(),
        })
    }

    /// What of a name's end, as long as can be, is a file here.
    fn moved(&self, name: &str) -> Option<PathBuf> {
        let names = Path::new(name).components().filter_map(|it| match it {
            Component::Normal(name) => Some(name),
            _ => None,
        });
        let names: Vec<_> = names.collect();
        let deepest = names.len().saturating_sub(MAX_DEPTH);
        (deepest..names.len())
            .find_map(|first| self.file(&names[first..].iter().collect::<PathBuf>()))
    }

    /// A path from this folder, if there is a file within it.
    fn file(&self, path: &Path) -> Option<PathBuf> {
        let path = self.folder.join(path).canonicalize().ok()?;
        (path.starts_with(&self.folder) && path.is_file() && is_image(&path)).then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    #[test]
    fn images_are_found_where_they_lay_moved_and_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        for name in ["a/1.png", "images/part-000002/2.png", "notes.txt"] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), name).unwrap();
        }
        let mut part = ZipWriter::new(fs::File::create(at("part-000003.zip")).unwrap());
        part.start_file("3.png", SimpleFileOptions::default())
            .unwrap();
        part.write_all(b"three").unwrap();
        part.finish().unwrap();
        let pictures = Pictures::open(&root).unwrap();
        let file = |name: &str| Some(Place::File(at(name)));
        let nowhere = || None;
        for name in [
            "a/1.png",
            "/old/place/a/1.png",
            at("a/1.png").to_str().unwrap(),
        ] {
            assert_eq!(pictures.find(name, nowhere), file("a/1.png"), "{name}");
        }
        assert_eq!(
            pictures.find("2.png", || Some(2)),
            file("images/part-000002/2.png")
        );
        let zipped = pictures.find("3.png", || Some(3)).unwrap();
        assert_eq!(pictures.read(&zipped).unwrap(), b"three");
        let absent = pictures.find("4.png", || Some(3)).unwrap();
        assert!(matches!(
            pictures.read(&absent),
            Err(Error::PartImage { .. })
        ));
        for name in ["3.png", "notes.txt", "/etc/passwd", "..", "", "a"] {
            assert_eq!(pictures.find(name, nowhere), None, "{name}");
        }
    }
}
