//! One side of a run's data before its targets are known.

use image::RgbImage;

use super::folder::{FolderSet, KEPT_BYTES};
use super::{PocketSet, TrainingSet};
use crate::data::pairs::{Pairs, Sides};
use crate::data::source::Source;
use crate::data::split::Splitter;
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::pocket::{PocketPrompt, Prompts, Split};
use crate::train::targets::Targets;

/// Prompts, and where their images come from.
pub(in crate::train) enum Side {
    Pocket(Vec<PocketPrompt>),
    Folder(Pairs),
}

impl Side {
    /// What to train on and what to validate with. The pocket world's prompts are drawn from `seed`,
    /// `validation_prompts` of them for validation.
    ///
    /// # Errors
    /// As for [`Sides::open`] and [`Sides::pairs`].
    pub(in crate::train) fn of(
        source: &Source,
        seed: u64,
        validation_prompts: usize,
        splitter: &mut Splitter<'_>,
    ) -> Result<(Self, Self)> {
        Ok(match source {
            Source::Pocket { prompts } => (
                Self::draw(Split::Train, seed, *prompts),
                Self::draw(Split::Validation, seed, validation_prompts),
            ),
            Source::Path(folder) => {
                let sides = Sides::open(folder, splitter)?;
                let side = |side| sides.pairs(side).map(Self::Folder);
                (side(Split::Train)?, side(Split::Validation)?)
            }
        })
    }

    /// What to validate with alone, as [`of`](Self::of) gives it.
    ///
    /// # Errors
    /// As for [`Sides::open`] and [`Sides::pairs`].
    pub(in crate::train) fn validation(
        source: &Source,
        seed: u64,
        prompts: usize,
        splitter: &mut Splitter<'_>,
    ) -> Result<Self> {
        Ok(match source {
            Source::Pocket { .. } => Self::draw(Split::Validation, seed, prompts),
            Source::Path(folder) => {
                Self::Folder(Sides::open(folder, splitter)?.pairs(Split::Validation)?)
            }
        })
    }

    fn draw(split: Split, seed: u64, count: usize) -> Self {
        Self::Pocket(Prompts::new(seed, split).take(count).collect())
    }

    /// The prompts, by number.
    pub(in crate::train) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Pocket(prompts) => prompts.iter().map(|prompt| prompt.text.as_str()).collect(),
            Self::Folder(pairs) => pairs.prompts().collect(),
        }
    }

    /// The image of a prompt by number, as a file has it.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub(in crate::train) fn image(&self, number: usize) -> Result<RgbImage> {
        match self {
            Self::Pocket(prompts) => Ok(prompts[number].render()),
            Self::Folder(pairs) => pairs.image(number),
        }
    }

    /// What tells their images from all others; `None` if they are drawn anew in each epoch.
    ///
    /// # Errors
    /// As for [`Pairs::identity`].
    pub(in crate::train) fn images(&self) -> Result<Option<String>> {
        match self {
            Self::Pocket(_) => Ok(None),
            Self::Folder(pairs) => pairs.identity().map(Some),
        }
    }

    /// The set of these prompts with their targets, for a network that takes images of `preprocess`.
    pub(in crate::train) fn with_targets(
        self,
        embeddings: Vec<f32>,
        words: Vec<Vec<u32>>,
        preprocess: &Preprocess,
    ) -> Box<dyn TrainingSet> {
        match self {
            Self::Pocket(prompts) => Box::new(PocketSet::new(prompts, embeddings, words)),
            Self::Folder(pairs) => {
                let targets = Targets::new(embeddings, words);
                let preprocess = preprocess.clone();
                Box::new(FolderSet::new(pairs, targets, preprocess, KEPT_BYTES))
            }
        }
    }
}
