//! Images with their prompts, out of DiffusionDB's zipped parts: prompts in memory, images read when
//! they are asked for.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use xxhash_rust::xxh3::Xxh3Default;

use super::archives::Archives;
use super::diffusiondb;
use super::read::{ReadOptions, read};
use super::row::Row;
use super::split::Splitter;
use crate::error::{Error, Result};
use crate::image::decode::decode;
use crate::pocket::Split;

/// Image-prompt pairs by number.
#[derive(Clone, Debug)]
pub struct Pairs {
    archives: Arc<Archives>,
    pairs: Vec<Pair>,
}

#[derive(Clone, Debug)]
struct Pair {
    /// The number of the part among `archives`.
    part: usize,
    image_name: String,
    prompt: String,
}

impl Pairs {
    /// Those of all zipped parts of the DiffusionDB in `folder`: what the JSON of each names, but
    /// for images without a prompt.
    ///
    /// # Errors
    /// [`Error::NoZippedParts`] if there are none, else what is wrong with one.
    pub fn open(folder: &Path) -> Result<Self> {
        let parts = diffusiondb::zipped_parts(folder)?;
        if parts.is_empty() {
            let path = folder.to_owned();
            return Err(Error::NoZippedParts { path });
        }
        let mut pairs = vec![];
        for (part, path) in parts.iter().enumerate() {
            let summary = read(path, &ReadOptions::default(), &mut |row: Row| {
                pairs.extend(row.image.map(|image| Pair {
                    part,
                    image_name: image.image_name,
                    prompt: row.prompt,
                }));
                ControlFlow::Continue(())
            })?;
            for line in summary.notes.iter().chain(&summary.problems) {
                tracing::warn!("{line}");
            }
        }
        Ok(Self {
            archives: Arc::new(Archives::new(parts)),
            pairs,
        })
    }

    fn only(&self, kept: impl Fn(usize) -> bool) -> Self {
        let pairs = self.pairs.iter().enumerate();
        let pairs = pairs.filter(|(number, _)| kept(*number));
        Self {
            archives: self.archives.clone(),
            pairs: pairs.map(|(_, pair)| pair.clone()).collect(),
        }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The prompts, by number.
    pub fn prompts(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|pair| pair.prompt.as_str())
    }

    /// What tells their images from all others: the names of the images, and sizes and times of the parts that they are in.
    ///
    /// # Errors
    /// [`Error::Io`] if a part is gone.
    pub fn identity(&self) -> Result<String> {
        let mut hash = Xxh3Default::new();
        for path in self.archives.paths() {
            let failed = |error| Error::io("read", path)(error);
            let metadata = path.metadata().map_err(failed)?;
            let modified = metadata.modified().map_err(failed)?;
            hash.update(format!("{} {modified:?}\n", metadata.len()).as_bytes());
        }
        for pair in &self.pairs {
            hash.update(format!("{} {}\n", pair.part, pair.image_name).as_bytes());
        }
        Ok(format!("{:032x}", hash.digest128()))
    }

    /// The image of a pair, read from its part.
    ///
    /// # Errors
    /// [`Error::PartImage`], which names part and image, if it is not there or damaged.
    ///
    /// # Panics
    /// If there is no pair of that number.
    pub fn image(&self, number: usize) -> Result<RgbImage> {
        let pair = &self.pairs[number];
        let failed = |source| Error::PartImage {
            path: self.archives.path(pair.part).to_owned(),
            image: pair.image_name.clone(),
            source,
        };
        let bytes = self.archives.read(pair.part, &pair.image_name);
        let bytes = bytes.map_err(|error| failed(error.into()))?;
        decode(&bytes).map_err(|error| failed(error.into()))
    }
}

/// A folder of pairs, and how they stand on sides.
#[derive(Clone, Debug)]
pub struct Sides {
    folder: PathBuf,
    /// All pairs with their sides, where the folder does not have some for them.
    split: Option<(Pairs, Vec<Split>)>,
}

impl Sides {
    /// The sides of `folder`: the folders of their names where there are some, else what `splitter` makes of its pairs.
    ///
    /// # Errors
    /// As for [`Pairs::open`] and [`Splitter::sides`].
    pub fn open(folder: &Path, splitter: &mut Splitter<'_>) -> Result<Self> {
        let sides = [Split::Train, Split::Validation].map(|side| folder.join(side.name()));
        let split = if sides.iter().all(|folder| folder.is_dir()) {
            None
        } else {
            let pairs = Pairs::open(folder)?;
            let prompts: Vec<&str> = pairs.prompts().collect();
            let sides = splitter.sides(&prompts)?;
            Some((pairs, sides))
        };
        let folder = folder.to_owned();
        Ok(Self { folder, split })
    }

    /// The pairs of a side.
    ///
    /// # Errors
    /// [`Error::NoPairs`] if there are none, else as for [`Pairs::open`].
    pub fn pairs(&self, side: Split) -> Result<Pairs> {
        let pairs = match &self.split {
            Some((all, sides)) => all.only(|number| sides[number] == side),
            None => Pairs::open(&self.folder.join(side.name()))?,
        };
        if pairs.is_empty() {
            return Err(Error::NoPairs {
                path: self.folder.clone(),
                side: side.name(),
            });
        }
        Ok(pairs)
    }
}
