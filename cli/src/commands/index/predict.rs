//! Prompts for image files that carry none, as `reverse` answers them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use unprompt::data::row::Row;
use unprompt::image::decode;
use unprompt::reverse::{ReverseOptions, Reverser};
use unprompt::text::SentenceEncoder;
use unprompt_index::{ImageRecord, Index};

use crate::args::Global;
use crate::commands::located::predictor;
use crate::output::progress::{Progress, Unit};
use crate::output::status;
use crate::stop;

/// Answers from the prompts of an index.
pub(super) struct Predictions(Reverser);

impl Predictions {
    pub(super) fn open(
        index: &Path,
        model: &str,
        sentences: Arc<SentenceEncoder>,
        global: &Global,
    ) -> Result<Self> {
        let opened = Index::open(index)?;
        if opened.is_empty() {
            bail!(
                "{} has no prompts to predict from: add some first, as pocket:60000 or DiffusionDB's \
                 metadata.parquet",
                index.display()
            );
        }
        let reverser = Reverser::new(opened, predictor(model, global)?)?;
        Ok(Self(reverser.with_sentences(sentences)?))
    }

    /// A row for each of `images` that can be decoded, marked with its confidence, beside the name of its file.
    /// `place` says how many come before these, and how many there are in all.
    pub(super) fn make(
        &self,
        images: &[ImageRecord],
        place: (usize, usize),
        global: &Global,
    ) -> Result<Vec<(String, Row)>> {
        let (before, total) = (place.0 as u64, place.1 as u64);
        let what = "predicting prompts";
        let mut progress = Progress::new(what, Some(total), Unit::Count, global.quiet);
        let mut rows = vec![];
        for (image, done) in images.iter().zip(before + 1..) {
            stop::check()?;
            match self.predict(image) {
                // Where every prompt of the index was predicted, none of them is an answer.
                Ok((prompt, _)) if prompt.is_empty() => {
                    tracing::warn!("{}: no known prompt to answer with", image.image_name);
                }
                Ok((prompt, confidence)) => rows.push((
                    image.image_name.clone(),
                    Row {
                        prompt,
                        image: Some(ImageRecord {
                            predicted: Some(confidence),
                            ..image.clone()
                        }),
                        vector: None,
                    },
                )),
                Err(error) => tracing::warn!("{}: {}", image.image_name, status::line(&error)),
            }
            progress.set(done, "");
        }
        Ok(rows)
    }

    fn predict(&self, image: &ImageRecord) -> Result<(String, f32)> {
        let bytes = decode::read_file(Path::new(&image.image_name))?;
        let options = ReverseOptions::default();
        let answer = self.0.reverse(&image.image_name, &bytes, &options)?;
        Ok((answer.prompt, answer.confidence))
    }
}
