//! How well a diffusion model follows prompts: images of test prompts, judged by the checker and by a
//! predictor that took no part.

use std::ops::ControlFlow;

use candle_core::Device;
use image::RgbImage;
use rayon::prelude::*;

use crate::checker::Checker;
use crate::checker::agreement::Agreement;
use crate::diffusion::text_to_image::{GenerateOptions, Order, TextToImage};
use crate::error::{Error, Result};
use crate::image::preprocess::Preprocess;
use crate::pocket::{Meaning, PocketPrompt, Prompts, Split};
use crate::predictor::Predictor;
use crate::text::{SentenceEncoder, mean_cosine};

/// What is generated, and how.
#[derive(Clone, Copy, Debug)]
pub struct AdherenceOptions {
    /// Test prompts, one image each.
    pub images: usize,
    /// Seed of the prompts; their images' seeds come with them.
    pub seed: u64,
    /// How images are made.
    pub generate: GenerateOptions,
}

/// Images and how well they follow.
#[derive(Clone, Debug)]
pub struct Adherence {
    /// What was asked for.
    pub prompts: Vec<PocketPrompt>,
    /// What came out.
    pub images: Vec<RgbImage>,
    /// By the checker.
    pub agreement: Agreement,
    /// Mean cosine of the prompts' embeddings to those that the predictor reads off the images.
    pub cosine: f64,
}

/// Images made at once, between two looks at `observe`.
const BATCH_IMAGES: usize = 64;

/// Images that go through the codec together.
const PIECE_IMAGES: usize = 8;

/// Generates images of test prompts and judges them; `observe` is told of those done, of how many.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, [`Error::OtherEncoder`] if the predictor is of another encoder than
/// `sentences`, else if a tensor operation fails.
pub fn adherence(
    model: &TextToImage,
    checker: &Checker,
    predictor: &Predictor,
    sentences: &SentenceEncoder,
    options: AdherenceOptions,
    observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Adherence> {
    sentences.check(predictor.sentence_encoder())?;
    let prompts = prompts(options);
    let images = in_batches(&prompts, observe, |batch| {
        let orders: Vec<Order> = batch
            .iter()
            .map(|prompt| order(prompt, options.generate))
            .collect();
        model.generate(&orders, Some(sentences))
    })?;
    judge(prompts, images, checker, predictor, sentences)
}

/// The same figures for rendered images of the same prompts: what they come to where the image is
/// right.
///
/// # Errors
/// As for [`adherence`].
pub fn rendered(
    checker: &Checker,
    predictor: &Predictor,
    sentences: &SentenceEncoder,
    options: AdherenceOptions,
) -> Result<Adherence> {
    sentences.check(predictor.sentence_encoder())?;
    let prompts = prompts(options);
    let images = prompts.iter().map(PocketPrompt::render).collect();
    judge(prompts, images, checker, predictor, sentences)
}

/// The same figures for rendered images that went through the model's codec and back: what they come to
/// where the U-Net has no part in what is lost.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks, else if a tensor operation fails.
pub fn reconstructed(
    model: &TextToImage,
    checker: &Checker,
    predictor: &Predictor,
    sentences: &SentenceEncoder,
    options: AdherenceOptions,
    observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Adherence> {
    sentences.check(predictor.sentence_encoder())?;
    let prompts = prompts(options);
    let preprocess = Preprocess::symmetric(model.side());
    let images = in_batches(&prompts, observe, |batch| {
        let pieces = batch.par_chunks(PIECE_IMAGES).map(|piece| {
            let rendered: Vec<RgbImage> = piece.iter().map(PocketPrompt::render).collect();
            model.reconstruct(&preprocess.batch(&rendered, &Device::Cpu)?)
        });
        Ok(pieces.collect::<Result<Vec<_>>>()?.concat())
    })?;
    judge(prompts, images, checker, predictor, sentences)
}

/// What `make` makes of the prompts, a batch at a time.
fn in_batches(
    prompts: &[PocketPrompt],
    observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    make: impl Fn(&[PocketPrompt]) -> Result<Vec<RgbImage>>,
) -> Result<Vec<RgbImage>> {
    let mut images = vec![];
    for batch in prompts.chunks(BATCH_IMAGES) {
        if observe(images.len(), prompts.len()).is_break() {
            return Err(Error::Cancelled);
        }
        images.extend(make(batch)?);
    }
    Ok(images)
}

fn prompts(options: AdherenceOptions) -> Vec<PocketPrompt> {
    Prompts::new(options.seed, Split::Test)
        .take(options.images)
        .collect()
}

fn judge(
    prompts: Vec<PocketPrompt>,
    images: Vec<RgbImage>,
    checker: &Checker,
    predictor: &Predictor,
    sentences: &SentenceEncoder,
) -> Result<Adherence> {
    let said: Vec<Meaning> = prompts.iter().map(|prompt| prompt.meaning).collect();
    let agreement = Agreement::of(&checker.read(&images)?, &said);
    let texts: Vec<&str> = prompts.iter().map(|prompt| prompt.text.as_str()).collect();
    let truth = sentences.embed(&texts)?;
    let predictions = predictor.predict(&images)?;
    let predicted = predictions.iter().map(|it| it.embedding.as_slice());
    let cosine = mean_cosine(predicted.zip(truth.rows()));
    Ok(Adherence {
        prompts,
        images,
        agreement,
        cosine,
    })
}

fn order(prompt: &PocketPrompt, options: GenerateOptions) -> Order {
    Order {
        prompt: prompt.text.clone(),
        negative_prompt: String::new(),
        seed: prompt.seed,
        options,
    }
}
