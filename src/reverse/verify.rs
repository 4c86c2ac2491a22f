//! The answer made an image again: how close does it come to the one that was given?

use std::collections::HashSet;

use image::RgbImage;
use serde::Serialize;
use unprompt_index::ImageRecord;

use super::answer::ReverseAnswer;
use crate::diffusion::text_to_image::{GenerateOptions, Order, TextToImage};
use crate::error::Result;
use crate::predictor::Predictor;
use crate::text::{SentenceEncoder, cosine};

/// An image made of the answer's prompt.
#[derive(Clone, Debug, Serialize)]
pub struct Remade {
    /// Seed of its noise.
    pub seed: u64,
    /// Cosine between what the model predicts for it and for the image that was given, in [-1, 1].
    pub cosine: f32,
    /// The image.
    #[serde(skip)]
    pub image: RgbImage,
}

/// Makes answers images again.
pub struct Verifier {
    generator: TextToImage,
    options: GenerateOptions,
    images: usize,
}

impl Verifier {
    /// With a diffusion model, which makes `images` of each answer: as the file or the index says that images
    /// of this prompt were made, as far as that is known and can be done, then by `options` from seeds 1, 2 and so on.
    pub fn new(generator: TextToImage, options: GenerateOptions, images: usize) -> Self {
        Self {
            generator,
            options,
            images,
        }
    }

    /// The images made of an answer for `original`, most alike first.
    ///
    /// # Errors
    /// What the diffusion model, which may need `sentences`, or `predictor` reports.
    pub fn verify(
        &self,
        original: &RgbImage,
        answer: &ReverseAnswer,
        predictor: &Predictor,
        sentences: Option<&SentenceEncoder>,
    ) -> Result<Vec<Remade>> {
        let orders = self.orders(answer);
        let mut images = vec![original.clone()];
        images.extend(self.generator.generate(&orders, sentences)?);
        let predictions = predictor.predict(&images)?;
        let target = &predictions[0].embedding;
        let made = orders.iter().zip(images.drain(1..)).zip(&predictions[1..]);
        let mut made: Vec<Remade> = made
            .map(|((order, image), prediction)| Remade {
                seed: order.seed,
                cosine: cosine(&prediction.embedding, target),
                image,
            })
            .collect();
        made.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        Ok(made)
    }

    fn orders(&self, answer: &ReverseAnswer) -> Vec<Order> {
        let negative = answer
            .embedded
            .as_ref()
            .and_then(|it| it.negative_prompt.clone());
        let negative = negative.unwrap_or_default();
        let order = |seed, options| Order {
            prompt: answer.prompt.clone(),
            negative_prompt: negative.clone(),
            seed,
            options,
        };
        let own = answer.embedded.iter().filter_map(|embedded| {
            let record = ImageRecord {
                seed: embedded.seed,
                step: embedded.steps,
                cfg: embedded.cfg.map(|cfg| cfg as f32),
                sampler: embedded.sampler.clone(),
                ..ImageRecord::default()
            };
            Some((record.seed?, self.as_recorded(&record)))
        });
        let hits = answer.hits.iter().filter(|hit| hit.prompt == answer.prompt);
        let records = hits.flat_map(|hit| &hit.images);
        let known = records.filter_map(|record| Some((record.seed?, self.as_recorded(record))));
        let others = (1..).map(|seed| (seed, self.options));
        let mut seeds = HashSet::new();
        own.chain(known)
            .chain(others)
            .filter(|(seed, _)| seeds.insert(*seed))
            .take(self.images)
            .map(|(seed, options)| order(seed, options))
            .collect()
    }

    /// How an image was made, as far as the generator can do the same.
    fn as_recorded(&self, record: &ImageRecord) -> GenerateOptions {
        let steps = record.step.map(|steps| steps as usize);
        let known = |name: &String| name.parse().ok();
        GenerateOptions {
            sampler: record
                .sampler
                .as_ref()
                .and_then(known)
                .unwrap_or(self.options.sampler),
            steps: steps
                .filter(|steps| (1..=MAX_STEPS).contains(steps))
                .unwrap_or(self.options.steps),
            guidance: record
                .cfg
                .map(f64::from)
                .filter(|cfg| (1.0..=MAX_GUIDANCE).contains(cfg))
                .unwrap_or(self.options.guidance),
        }
    }
}

/// More than anybody asks for: what a file says is not to hold the machine.
const MAX_STEPS: usize = 150;

/// As `MAX_STEPS`.
const MAX_GUIDANCE: f64 = 30.0;
