//! What is the domain-adaptive kernel worth where images differ from those that a model was trained on?
//!
//!     cargo bench -p unprompt-benches --bench shift -- DATA MODEL...
//!
//! DATA is a folder of `unprompt dataset`, each MODEL one that was trained on its training side, with another seed.
//! Each is adapted with 2000 centroids to 1000 validation images that were changed as a line says, without their prompts,
//! and judged by 1000 test images that were changed the same way. Cosines to the true prompts' embeddings before and after,
//! for each gamma and alpha; the mean over models, and the standard deviation of the gain.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unprompt::adapt::{AdaptOptions, Adaptation, SourceDomain};
use unprompt::data::pairs::{Pairs, Sides};
use unprompt::data::split::Splitter;
use unprompt::device::DeviceChoice;
use unprompt::diffusion::text_to_image::{GenerateOptions, Order, TextToImage};
use unprompt::matmul::Precision;
use unprompt::pocket::{PocketPrompt, Prompts, Split};
use unprompt::predictor::Predictor;
use unprompt::text::{Embeddings, SentenceEncoder, mean_cosine};
use unprompt_benches::{SEED, sentence_encoder};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Images that are adapted to, and as many that are judged by.
const IMAGES: usize = 1000;

/// Images that go through a model together.
const BATCH: usize = 64;

/// Gamma and alpha. The paper's come first, for five times as many centroids.
const SETTINGS: [(f64, f64); 4] = [(0.01, 10.0), (0.01, 1e-3), (1.0, 0.1), (1.0, 1e-3)];

const CENTROIDS: usize = 2000;

/// Settings that no image of DATA was made with.
const HASTY: GenerateOptions = GenerateOptions {
    sampler: unprompt::diffusion::sampler::SamplerKind::Ddim,
    steps: 4,
    guidance: 1.0,
};

/// Images with the embeddings of their prompts.
struct Domain {
    images: Vec<RgbImage>,
    embeddings: Embeddings,
}

impl Domain {
    fn of(pairs: &Pairs, count: usize, sentences: &SentenceEncoder) -> Result<Self> {
        let count = count.min(pairs.len());
        let texts: Vec<&str> = pairs.prompts().take(count).collect();
        Ok(Self {
            images: (0..count)
                .map(|it| pairs.image(it))
                .collect::<Result<_, _>>()?,
            embeddings: sentences.embed(&texts)?,
        })
    }

    /// Images that something makes of pocket prompts of a side, drawn by another seed than any in DATA.
    fn made(
        side: Split,
        sentences: &SentenceEncoder,
        make: impl FnOnce(&[PocketPrompt]) -> Result<Vec<RgbImage>>,
    ) -> Result<Self> {
        let prompts: Vec<PocketPrompt> = Prompts::new(SEED, side).take(IMAGES).collect();
        let texts: Vec<&str> = prompts.iter().map(|it| it.text.as_str()).collect();
        Ok(Self {
            images: make(&prompts)?,
            embeddings: sentences.embed(&texts)?,
        })
    }

    fn changed(&self, change: &dyn Fn(&RgbImage) -> Result<RgbImage>) -> Result<Self> {
        Ok(Self {
            images: self.images.iter().map(change).collect::<Result<_>>()?,
            embeddings: self.embeddings.clone(),
        })
    }

    /// What a model predicts for the images, row-major.
    fn predictions(&self, model: &Predictor) -> Result<Vec<f32>> {
        let mut rows = vec![];
        for batch in self.images.chunks(BATCH) {
            rows.extend(
                model
                    .predict(batch)?
                    .into_iter()
                    .flat_map(|it| it.embedding),
            );
        }
        Ok(rows)
    }

    fn cosine(&self, predictions: &[f32]) -> f64 {
        let rows = predictions.chunks_exact(self.embeddings.dim());
        mean_cosine(rows.zip(self.embeddings.rows()))
    }
}

/// One kind of images that a model was not trained on.
struct Shift {
    name: &'static str,
    targets: Domain,
    judged: Domain,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let [data, models @ ..] = arguments.as_slice() else {
        // `cargo bench` without arguments goes through all benchmarks.
        println!("give a folder of `unprompt dataset`, and models that were trained on it");
        return Ok(());
    };
    let sentences = sentence_encoder(Precision::Full)?;
    let mut splitter = Splitter {
        sentences: &sentences,
        kept_in: None,
        observe: &mut |_, _| ControlFlow::Continue(()),
    };
    let sides = Sides::open(Path::new(data), &mut splitter)?;
    let side = |side, count| Domain::of(&sides.pairs(side)?, count, &sentences);
    let source = side(Split::Train, usize::MAX)?;
    let (targets, judged) = (side(Split::Validation, IMAGES)?, side(Split::Test, IMAGES)?);
    let shifts = shifts(targets, judged, &sentences)?;
    let mut cosines = vec![vec![]; shifts.len()];
    for model in models {
        eprintln!("{model}");
        let device = DeviceChoice::Cpu.open()?;
        let model = Predictor::open_unfitted(model, &device).with_context(|| model.clone())?;
        let known = source.predictions(&model)?;
        for (shift, cosines) in shifts.iter().zip(&mut cosines) {
            let (targets, judged) = (
                shift.targets.predictions(&model)?,
                shift.judged.predictions(&model)?,
            );
            let mut row = vec![shift.judged.cosine(&judged)];
            for (gamma, alpha) in SETTINGS {
                let options = AdaptOptions {
                    centroids: CENTROIDS,
                    gamma,
                    alpha,
                    ..AdaptOptions::default()
                };
                let dim = source.embeddings.dim();
                let domain = SourceDomain {
                    predictions: &known,
                    embeddings: source.embeddings.as_slice(),
                };
                let go_on = &mut |_| ControlFlow::Continue(());
                let adaptation = Adaptation::fit(domain, &targets, dim, options, go_on)?;
                let adapted: Vec<f32> = judged
                    .chunks_exact(dim)
                    .flat_map(|it| adaptation.apply(it))
                    .collect();
                row.push(shift.judged.cosine(&adapted));
            }
            eprintln!("  {}: {row:.4?}", shift.name);
            cosines.push(row);
        }
    }
    println!(
        "images, cosine, adapted with gamma and alpha {SETTINGS:?}, gains with their deviation over {} models",
        models.len()
    );
    for (shift, rows) in shifts.iter().zip(&cosines) {
        let column = |of: &dyn Fn(&Vec<f64>) -> f64| {
            mean_and_deviation(&rows.iter().map(of).collect::<Vec<_>>())
        };
        print!("{}, {:.4}", shift.name, column(&|row| row[0]).0);
        for at in 1..=SETTINGS.len() {
            let (gain, deviation) = column(&|row| row[at] - row[0]);
            print!(
                ", {:.4}, {gain:+.4} +- {deviation:.4}",
                column(&|row| row[at]).0
            );
        }
        println!();
    }
    Ok(())
}

fn shifts(targets: Domain, judged: Domain, sentences: &SentenceEncoder) -> Result<Vec<Shift>> {
    let mut shifts = vec![];
    type Change<'a> = &'a dyn Fn(&RgbImage) -> Result<RgbImage>;
    let changes: [(&str, Change<'_>); 5] = [
        ("JPEG of quality 10", &jpeg),
        ("a third of the size", &small),
        ("grey", &|image| {
            Ok(DynamicImage::ImageLuma8(imageops::grayscale(image)).into_rgb8())
        }),
        ("a pattern of noise", &|image| Ok(noisy(image))),
        ("darker", &|image| Ok(imageops::brighten(image, -60))),
    ];
    for (name, change) in changes {
        let (targets, judged) = (targets.changed(change)?, judged.changed(change)?);
        shifts.push(Shift {
            name,
            targets,
            judged,
        });
    }
    let model = TextToImage::open("pocket", &DeviceChoice::Cpu.open()?)?;
    type Make<'a> = &'a dyn Fn(&[PocketPrompt]) -> Result<Vec<RgbImage>>;
    let made: [(&str, Make<'_>); 2] = [
        ("4 steps without guidance", &|prompts| {
            hasty(&model, prompts, sentences)
        }),
        ("rendered, not generated", &|prompts| {
            Ok(prompts.iter().map(PocketPrompt::render).collect())
        }),
    ];
    for (name, make) in made {
        let side = |side| Domain::made(side, sentences, make);
        let (targets, judged) = (side(Split::Validation)?, side(Split::Test)?);
        shifts.push(Shift {
            name,
            targets,
            judged,
        });
    }
    shifts.insert(
        0,
        Shift {
            name: "as trained on",
            targets,
            judged,
        },
    );
    Ok(shifts)
}

fn jpeg(image: &RgbImage) -> Result<RgbImage> {
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(Cursor::new(&mut bytes), 10).encode_image(image)?;
    Ok(image::load_from_memory(&bytes)?.into_rgb8())
}

fn small(image: &RgbImage) -> Result<RgbImage> {
    let (width, height) = image.dimensions();
    let small = imageops::resize(image, width / 3, height / 3, FilterType::Triangle);
    Ok(imageops::resize(
        &small,
        width,
        height,
        FilterType::Triangle,
    ))
}

/// Each colour of each pixel up to 48 brighter or darker, by the same pattern for each image.
fn noisy(image: &RgbImage) -> RgbImage {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut noisy = image.clone();
    for Rgb(colours) in noisy.pixels_mut() {
        for colour in colours {
            let moved = i16::from(*colour) + rng.random_range(-48..=48);
            *colour = moved.clamp(0, 255) as u8;
        }
    }
    noisy
}

fn hasty(
    model: &TextToImage,
    prompts: &[PocketPrompt],
    sentences: &SentenceEncoder,
) -> Result<Vec<RgbImage>> {
    let mut images = vec![];
    for batch in prompts.chunks(BATCH) {
        let orders: Vec<Order> = batch
            .iter()
            .zip(images.len() as u64..)
            .map(|(prompt, seed)| Order {
                prompt: prompt.text.clone(),
                negative_prompt: String::new(),
                seed,
                options: HASTY,
            })
            .collect();
        images.extend(model.generate(&orders, Some(sentences))?);
    }
    Ok(images)
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}
