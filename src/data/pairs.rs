//! Images with their prompts, out of DiffusionDB's zipped parts: prompts in memory, images read when
//! they are asked for.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;

use super::archives::Archives;
use super::diffusiondb;
use super::read::{ReadOptions, read};
use super::row::Row;
use super::split;
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
            read(path, &ReadOptions::default(), &mut |row: Row| {
                pairs.extend(row.image.map(|image| Pair {
                    part,
                    image_name: image.image_name,
                    prompt: row.prompt,
                }));
                ControlFlow::Continue(())
            })?;
        }
        Ok(Self {
            archives: Arc::new(Archives::new(parts)),
            pairs,
        })
    }

    /// What to train on and what to validate with, as [`Pairs::of`] finds them.
    ///
    /// # Errors
    /// As for [`Pairs::of`].
    pub fn sides(folder: &Path) -> Result<(Self, Self)> {
        Ok((
            Self::of(folder, Split::Train)?,
            Self::of(folder, Split::Validation)?,
        ))
    }

    /// One side of `folder`: the folder of the side's name where there are some, else the
    /// [side](split::side) of its own pairs.
    ///
    /// # Errors
    /// [`Error::NoPairs`] if it is empty, else as for [`Pairs::open`].
    pub fn of(folder: &Path, side: Split) -> Result<Self> {
        let sides = [Split::Train, Split::Validation].map(|side| folder.join(side.name()));
        let pairs = if sides.iter().all(|folder| folder.is_dir()) {
            Self::open(&folder.join(side.name()))?
        } else {
            Self::open(folder)?.side(side)
        };
        if pairs.is_empty() {
            return Err(Error::NoPairs {
                path: folder.to_owned(),
                side: side.name(),
            });
        }
        Ok(pairs)
    }

    fn side(&self, side: Split) -> Self {
        let pairs = self.pairs.iter();
        let pairs = pairs.filter(|pair| split::side(&pair.prompt) == side);
        Self {
            archives: self.archives.clone(),
            pairs: pairs.cloned().collect(),
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
