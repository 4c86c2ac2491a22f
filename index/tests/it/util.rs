//! Data and folders for tests. Everything random comes from a seed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unprompt_index::{
    BuildOptions, Encoder, Error, ImageRecord, Index, PromptId, Report, Stats, Writer, check,
    compact,
};

/// Numbers in the vectors of most tests.
pub(crate) const DIM: usize = 16;

pub(crate) fn encoder(dim: usize) -> Encoder {
    Encoder {
        name: "test".into(),
        digest: "0123".into(),
        dim,
    }
}

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A vector of length 1 in a random direction, or near `centre`.
pub(crate) fn unit(rng: &mut ChaCha8Rng, dim: usize, centre: Option<(&[f32], f32)>) -> Vec<f32> {
    // The sum of twelve uniform numbers is near enough to a normal one.
    let mut normal = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
    let mut vector: Vec<f32> = (0..dim).map(|_| normal()).collect();
    normalise(&mut vector);
    if let Some((centre, spread)) = centre {
        for (value, centre) in vector.iter_mut().zip(centre) {
            *value = *value * spread + centre;
        }
        normalise(&mut vector);
    }
    vector
}

pub(crate) fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|v| *v /= length);
}

/// `count` vectors around `clusters` random centres.
pub(crate) fn clustered(seed: u64, count: usize, dim: usize, clusters: usize) -> Vec<Vec<f32>> {
    let mut rng = rng(seed);
    let centres: Vec<_> = (0..clusters).map(|_| unit(&mut rng, dim, None)).collect();
    (0..count)
        .map(|_| {
            let centre = rng.random_range(0..clusters);
            unit(&mut rng, dim, Some((&centres[centre], 0.7)))
        })
        .collect()
}

pub(crate) fn image(name: &str) -> ImageRecord {
    ImageRecord {
        image_name: name.into(),
        ..ImageRecord::default()
    }
}

/// Commits without ever stopping.
pub(crate) fn commit(writer: Writer) -> Stats {
    writer.commit(&mut |_| ControlFlow::Continue(())).unwrap()
}

/// A folder that holds an index, and goes away with it.
pub(crate) struct Built {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) dir: PathBuf,
    pub(crate) index: Index,
}

/// An index of prompts, vectors and images.
pub(crate) fn built<'a>(
    dim: usize,
    entries: impl IntoIterator<Item = (&'a str, Vec<f32>, Vec<ImageRecord>)>,
) -> Built {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("index");
    let mut writer = Writer::create(&dir, encoder(dim), BuildOptions::default()).unwrap();
    for (prompt, vector, images) in entries {
        writer.push(prompt, &vector, images).unwrap();
    }
    commit(writer);
    let index = Index::open(&dir).unwrap();
    Built { folder, dir, index }
}

/// Adds to an index.
pub(crate) fn add<'a>(
    dir: &Path,
    entries: impl IntoIterator<Item = (&'a str, Vec<f32>, Vec<ImageRecord>)>,
) -> Stats {
    let mut writer = Writer::open(dir, BuildOptions::default()).unwrap();
    for (prompt, vector, images) in entries {
        writer.push(prompt, &vector, images).unwrap();
    }
    commit(writer)
}

/// Merges all segments without ever stopping.
pub(crate) fn compacted(dir: &Path) -> Stats {
    compact(dir, BuildOptions::default(), &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

/// Every file below `dir`, sorted.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

/// Vector and images of every prompt.
pub(crate) type Content = BTreeMap<String, (Vec<f32>, Vec<ImageRecord>)>;

/// The number of the last commit, and all that it left.
pub(crate) type State = (u64, Content);

/// Reads all that is in the index at `dir`, which must be sound; none, if there is no index.
pub(crate) fn state(dir: &Path) -> Result<Option<State>, String> {
    match read(dir) {
        Ok((_, Report { damaged, .. })) if !damaged.is_empty() => Err(format!("{damaged:?}")),
        Ok((state, _)) => Ok(Some(state)),
        Err(Error::NotAnIndex { .. }) => Ok(None),
        Err(error) => Err(format!("{error:?}")),
    }
}

fn read(dir: &Path) -> Result<(State, Report), Error> {
    let index = Index::open(dir)?;
    let mut content = Content::new();
    for entry in index.entries() {
        let prompt = index.prompt(entry)?;
        assert_eq!(index.find(&PromptId::of(&prompt))?, Some(entry), "{prompt}");
        let images = index.images(entry, None, usize::MAX)?.0;
        content.insert(prompt, (index.vector(entry)?, images));
    }
    assert_eq!(content.len(), index.len(), "no prompt twice");
    Ok(((index.stats()?.generation, content), check(dir)?))
}
