//! The index that is damaged: three segments, prompts and images deleted of two of them, staged
//! vectors, and what a killed writer leaves behind.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use unprompt_index::{
    BuildOptions, Deletion, Disk, Element, Filter, ImageRecord, Place, PromptId, Storage, Writer,
    delete,
};

use super::within;
use crate::util::{clustered, encoder, files};

/// Enough numbers for codes, and for f16.
const DIM: usize = 70;
/// Where the segments end.
const ENDS: [usize; 3] = [100, 140, 155];
/// Prompts that there are vectors of: those of the index, those that changes add, those staged.
const VECTORS: usize = 170;

/// A disk that forces nothing, for speed: no power is cut here.
#[derive(Debug)]
struct Lazy;

impl Storage for Lazy {
    fn sync_file(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        Disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        Disk.remove_dir_all(path)
    }
}

pub(super) fn place(dir: &Path) -> Place {
    Place::on(dir, Arc::new(Lazy))
}

pub(super) fn options() -> BuildOptions {
    BuildOptions {
        m: 4,
        ef_construction: 16,
        threads: 1,
        element: Some(Element::F16),
    }
}

pub(super) fn text(i: usize) -> String {
    let colour = ["red", "grey", "white"][i % 3];
    format!("a {colour} fox number {i} of {}, oil on canvas", i % 9)
}

pub(super) fn images(i: usize) -> Vec<ImageRecord> {
    let image = |j: usize| ImageRecord {
        image_name: format!("{i}-{j}.png"),
        part_id: Some((i % 4) as u32),
        seed: Some(i as u64 * 1_000_003),
        cfg: (!i.is_multiple_of(3)).then_some(i as f32 / 8.0),
        sampler: Some(["k_lms", "ddim"][j % 2].into()),
        timestamp: Some(i as i64),
        ..ImageRecord::default()
    };
    (0..i % 3).map(image).collect()
}

pub(super) fn vector(i: usize) -> &'static [f32] {
    static ALL: LazyLock<Vec<Vec<f32>>> = LazyLock::new(|| clustered(8, VECTORS, DIM, 10));
    &ALL[i]
}

/// The files of a folder by their paths in it.
pub(super) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |path: PathBuf| (within(dir, &path), fs::read(path).unwrap());
    files(dir).into_iter().map(read).collect()
}

/// An index with the bytes of its files.
pub(super) struct Sample {
    _folder: tempfile::TempDir,
    pub(super) dir: PathBuf,
    pub(super) files: Arc<BTreeMap<String, Vec<u8>>>,
}

impl Sample {
    pub(super) fn new() -> Sample {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("index");
        let mut first = 0;
        for end in ENDS {
            let mut writer = match first {
                0 => {
                    let whole = Some(Element::F32);
                    let options = BuildOptions {
                        element: whole,
                        ..options()
                    };
                    Writer::create(place(&dir), encoder(DIM), options).unwrap()
                }
                _ => Writer::open(place(&dir), options()).unwrap(),
            };
            for i in first..end {
                writer.push(&text(i), vector(i), images(i)).unwrap();
            }
            crate::util::commit(writer);
            first = end;
        }
        let ids = [7, 8, 50, 120].map(|i| PromptId::of(&text(i)));
        delete(place(&dir), &Deletion::Prompts(ids.into())).unwrap();
        let some = Filter::parse("part_id:2 sampler:ddim").unwrap();
        delete(place(&dir), &Deletion::Matching(some)).unwrap();
        let mut writer = Writer::open(place(&dir), options()).unwrap();
        for i in ENDS[2]..ENDS[2] + 6 {
            writer.stage(&[&text(i)], vector(i)).unwrap();
        }
        drop(writer);
        fs::write(dir.join("MANIFEST.tmp"), "half").unwrap();
        fs::create_dir(dir.join("segments/000099")).unwrap();
        fs::write(dir.join("segments/000099/vectors"), "half").unwrap();
        Sample {
            files: Arc::new(contents(&dir)),
            _folder: folder,
            dir,
        }
    }

    /// Whether a file is one that the MANIFEST lists, or the MANIFEST: the others hold no answer.
    pub(super) fn is_listed(&self, name: &str) -> bool {
        name == "MANIFEST" || name.starts_with("segments/") && !name.starts_with("segments/000099")
    }

    pub(super) fn copy(&self) -> Sample {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("index");
        for (name, bytes) in &*self.files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Sample {
            files: self.files.clone(),
            _folder: folder,
            dir,
        }
    }

    /// Gives a file its bytes again.
    pub(super) fn restore(&self, name: &str) {
        fs::write(self.dir.join(name), &self.files[name]).unwrap();
    }
}
