//! Pairs of a folder: images out of its parts, the same in each epoch.

use std::sync::OnceLock;

use image::RgbImage;

use super::TrainingSet;
use crate::data::pairs::Pairs;
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::train::room::Room;
use crate::train::targets::Targets;

/// The most pixels that are kept in memory, in bytes: 87 000 images of 64 x 64.
pub(super) const KEPT_BYTES: usize = 1 << 30;

/// Images with their prompts from zipped parts.
///
/// Images are decoded and brought to the size of the network when they are first asked for, and kept
/// until [`KEPT_BYTES`] are full; those after them are read anew each time. None is put out for
/// another: an epoch asks for each image once, so that whatever came in last would be asked for last.
#[derive(Debug)]
pub struct FolderSet {
    pairs: Pairs,
    preprocess: Preprocess,
    targets: Targets,
    kept: Vec<OnceLock<RgbImage>>,
    room: Room,
}

impl FolderSet {
    /// Puts pairs and the targets of their prompts together, for a network that takes images of
    /// `preprocess`; keeps at most `room_bytes` of pixels.
    ///
    /// # Panics
    /// If the numbers of rows differ.
    pub fn new(pairs: Pairs, targets: Targets, preprocess: Preprocess, room_bytes: usize) -> Self {
        assert_eq!(pairs.len(), targets.len());
        Self {
            kept: (0..pairs.len()).map(|_| OnceLock::new()).collect(),
            room: Room::new(room_bytes),
            pairs,
            preprocess,
            targets,
        }
    }
}

impl TrainingSet for FolderSet {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn image(&self, index: usize, _: usize) -> Result<RgbImage> {
        if let Some(image) = self.kept[index].get() {
            return Ok(image.clone());
        }
        let image = self.pairs.image(index)?;
        let image = self.preprocess.resized(&image)?.into_owned();
        let bytes = image.as_raw().len();
        if self.room.take(bytes) && self.kept[index].set(image.clone()).is_err() {
            // Another worker was first, with the same image.
            self.room.give_back(bytes);
        }
        Ok(image)
    }

    fn embedding(&self, index: usize) -> &[f32] {
        self.targets.embedding(index)
    }

    fn words(&self, index: usize) -> &[u32] {
        self.targets.words(index)
    }
}
