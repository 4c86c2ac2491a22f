//! What a cosine is to be compared with: knowing nothing, and knowing all that an image tells.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::cases::Case;
use super::predictions::{sum, unit};
use super::{EvaluateOptions, Observe};
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::pocket::{PocketPrompt, Prompts, Split, grammar};
use crate::text::{SentenceEncoder, cosine};

/// What cosines mean here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// Always answering the mean training embedding.
    pub mean_embedding: f64,
    /// Answering with the prompt of the training image nearest in raw pixels, among
    /// [`Bounds::known_images`].
    pub pixel_neighbour: f64,
    /// Training images that the two baselines know.
    pub known_images: usize,
    /// The leave-one-out mean embedding of all wordings of the true meaning.
    pub ceiling: f64,
}

/// Training prompts that the baselines know.
const BASELINE_PROMPTS: usize = 5000;

/// Meanings, and wordings of each, that the ceiling is measured on.
const CEILING: (usize, usize) = (100, 16);

impl Bounds {
    /// Measures them on the true prompts of `cases`.
    ///
    /// # Errors
    /// As for [`super::cases`].
    pub fn measure(
        cases: &[Case],
        sentences: &SentenceEncoder,
        options: EvaluateOptions,
        observe: &mut Observe<'_>,
    ) -> Result<Self> {
        let known: Vec<PocketPrompt> = Prompts::new(options.seed, Split::Train)
            .take(BASELINE_PROMPTS)
            .collect();
        let texts = |prompts: &[PocketPrompt]| -> Vec<String> {
            prompts.iter().map(|prompt| prompt.text.clone()).collect()
        };
        let mut embed = |texts: &[String]| {
            sentences.embed_with(texts, |done| observe("measuring bounds", done, texts.len()))
        };
        let known_embeddings = embed(&texts(&known))?;
        let truths: Vec<PocketPrompt> = cases.iter().map(|case| case.truth.clone()).collect();
        let truth_embeddings = embed(&texts(&truths))?;
        let mean = unit_sum(known_embeddings.rows());
        let mean_embedding = truth_embeddings
            .rows()
            .map(|row| f64::from(cosine(row, &mean)))
            .sum::<f64>();

        let pixels = |prompt: &PocketPrompt| -> Result<Vec<f32>> {
            let image = prompt.render();
            let device = candle_core::Device::Cpu;
            let tensor = Preprocess::symmetric(image.width() as usize).batch(&[image], &device)?;
            Ok(tensor.flatten_all()?.to_vec1()?)
        };
        let known_pixels = known.iter().map(pixels).collect::<Result<Vec<_>>>()?;
        let mut pixel_neighbour = 0.0;
        for (truth, row) in truths.iter().zip(truth_embeddings.rows()) {
            let image = pixels(truth)?;
            let distance = |other: &Vec<f32>| -> f32 {
                image
                    .iter()
                    .zip(other)
                    .map(|(a, b)| (a - b) * (a - b))
                    .sum()
            };
            let distances: Vec<f32> = known_pixels.iter().map(distance).collect();
            let nearest =
                (0..distances.len()).min_by(|&a, &b| distances[a].total_cmp(&distances[b]));
            pixel_neighbour +=
                nearest.map_or(0.0, |at| f64::from(cosine(known_embeddings.row(at), row)));
        }

        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let (meanings, wordings) = CEILING;
        let mut ceiling = 0.0;
        let all: Vec<String> = Prompts::new(options.seed, options.split)
            .take(meanings)
            .flat_map(|prompt| {
                (0..wordings)
                    .map(|_| grammar::word(prompt.meaning, &mut rng))
                    .collect::<Vec<_>>()
            })
            .collect();
        let all = embed(&all)?;
        for meaning in 0..meanings {
            for left_out in 0..wordings {
                let others = (0..wordings).filter(|&wording| wording != left_out);
                let mean = unit_sum(others.map(|wording| all.row(meaning * wordings + wording)));
                ceiling += f64::from(cosine(&mean, all.row(meaning * wordings + left_out)));
            }
        }
        let count = truths.len().max(1) as f64;
        Ok(Self {
            mean_embedding: mean_embedding / count,
            pixel_neighbour: pixel_neighbour / count,
            known_images: known.len(),
            ceiling: ceiling / (meanings * wordings) as f64,
        })
    }
}

/// The sum of rows, scaled to length 1.
fn unit_sum<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    unit(&sum(rows))
}
