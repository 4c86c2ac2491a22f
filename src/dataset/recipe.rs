//! The writing of a data set, part by part.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::draw::{Draw, Draws};
use super::manifest::{Manifest, Settings};
use super::table::Common;
use super::{part, table};
use crate::diffusion::text_to_image::{Order, TextToImage};
use crate::error::{Error, Result};
use crate::pocket::Split;
use crate::text::SentenceEncoder;

/// Images made at once, between two looks at whether to stop.
const BATCH_IMAGES: usize = 64;

/// What to make, and where to.
#[derive(Clone, Debug)]
pub struct DatasetRecipe {
    /// The data set's folder.
    pub folder: PathBuf,
    /// Images of the training side.
    pub train: usize,
    /// Images of the validation side.
    pub validation: usize,
    /// Images of the test side.
    pub test: usize,
    /// Seed of prompts and settings.
    pub seed: u64,
    /// Images of a part: [`PART_IMAGES`](super::PART_IMAGES) in DiffusionDB.
    pub images_per_part: usize,
    /// The diffusion model, as it was named.
    pub model: String,
    /// The command that asked for it.
    pub command: String,
    /// The commit that the program was built from.
    pub commit: String,
}

/// Is told how many images are there, of how many, and may stop the work.
type Observe<'a> = &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>;

impl DatasetRecipe {
    /// Makes the images and writes them. Parts that are there and whole are left as they are, so that a
    /// run that was stopped goes on where it was. The bytes do not depend on the number of threads.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks; [`Error::OtherDataset`] and [`Error::NotEmpty`] if the
    /// folder is taken; [`Error::Setting`] and [`Error::TooManyImages`]; else what went wrong with a
    /// file or a tensor.
    pub fn run(
        &self,
        model: &TextToImage,
        sentences: &SentenceEncoder,
        observe: Observe<'_>,
    ) -> Result<()> {
        self.check()?;
        let settings = Settings {
            train: self.train,
            validation: self.validation,
            test: self.test,
            ..Settings::new(model.digest()?, self.seed, self.images_per_part)
        };
        let manifest = Manifest {
            settings,
            model: self.model.clone(),
            command: self.command.clone(),
            commit: self.commit.clone(),
            unprompt_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        manifest.settle(&self.folder)?;
        let studio = Studio {
            model,
            sentences,
            common: Common {
                side: model.side() as u16,
                user_name: &manifest.settings.model_sha256,
            },
        };
        let total = Split::ALL.map(|side| self.images(side)).iter().sum();
        let mut done = 0;
        for side in Split::ALL {
            let draws: Vec<Draw> = Draws::new(self.seed, side)
                .take(self.images(side))
                .collect();
            let parts: Vec<(u16, &[Draw])> =
                (1..).zip(draws.chunks(self.images_per_part)).collect();
            studio.write(&self.folder.join(side.name()), &parts, &mut |images| {
                done += images;
                observe(done, total)
            })?;
        }
        Ok(())
    }

    /// Images of a side.
    fn images(&self, side: Split) -> usize {
        match side {
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Test => self.test,
        }
    }

    fn check(&self) -> Result<()> {
        if self.images_per_part == 0 {
            return Err(Error::Setting {
                name: "images of a part",
                value: 0,
                least: 1,
            });
        }
        let most = self.images_per_part.saturating_mul(u16::MAX.into());
        match Split::ALL.map(|side| self.images(side)).into_iter().max() {
            Some(images) if images > most => Err(Error::TooManyImages { images, most }),
            _ => Ok(()),
        }
    }
}

/// What makes images, and what they share.
struct Studio<'a> {
    model: &'a TextToImage,
    sentences: &'a SentenceEncoder,
    common: Common<'a>,
}

impl Studio<'_> {
    /// Writes one side; `observe` is told of images since it was last told.
    fn write(
        &self,
        folder: &Path,
        parts: &[(u16, &[Draw])],
        observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        let images = folder.join("images");
        fs::create_dir_all(&images).map_err(Error::io("create", &images))?;
        for &(number, draws) in parts {
            let path = images.join(part::name(number)).with_extension("zip");
            if !part::is_whole(&path, draws) {
                part::write(&path, number, draws, &self.images(draws, observe)?)?;
            } else if observe(draws.len()).is_break() {
                return Err(Error::Cancelled);
            }
        }
        let path = folder.join("metadata.parquet");
        table::write(&path, parts.iter().copied(), &self.common)
    }

    /// The images of a part. They are made in another order: those of one sampler and number of steps
    /// go through the network together.
    fn images(
        &self,
        draws: &[Draw],
        observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Vec<RgbImage>> {
        let mut orders: Vec<(usize, Order)> = draws.iter().map(Draw::order).enumerate().collect();
        orders.sort_by_key(|(_, order)| order.way());
        let (places, orders): (Vec<usize>, Vec<Order>) = orders.into_iter().unzip();
        let mut made = Vec::with_capacity(draws.len());
        for batch in orders.chunks(BATCH_IMAGES) {
            made.extend(self.model.generate(batch, Some(self.sentences))?);
            if observe(batch.len()).is_break() {
                return Err(Error::Cancelled);
            }
        }
        let mut images: Vec<(usize, RgbImage)> = places.into_iter().zip(made).collect();
        images.sort_by_key(|&(place, _)| place);
        Ok(images.into_iter().map(|(_, image)| image).collect())
    }
}
