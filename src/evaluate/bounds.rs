//! What a cosine is to be compared with: knowing nothing, and knowing all that an image tells.

use candle_core::{Device, Tensor};
use serde::Serialize;

use super::meanings;
use super::truth::{Truth, Truths};
use super::vectors::unit_sum;
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::pocket::{Meaning, grammar};
use crate::text::{SentenceEncoder, cosine, mean_cosine};

/// What cosines mean here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// Always answering the mean embedding of the known prompts.
    pub mean_embedding: f64,
    /// Answering with the prompt of the known image nearest in raw pixels.
    pub pixel_neighbour: f64,
    /// Images that the two baselines know; they come from training.
    pub known_images: usize,
    /// The leave-one-out mean embedding of all wordings of the true meaning; `None` where the grammar of
    /// the pocket world reads no prompt.
    pub ceiling: Option<f64>,
}

/// Meanings, and wordings of each, that the ceiling is measured on.
const CEILING: (usize, usize) = (100, 16);

/// Width and height at which pixels are compared.
const SIDE: usize = 64;

/// Known images compared at once.
const BATCH_IMAGES: usize = 256;

impl Bounds {
    /// Measures them for `truths`; the baselines know the images of `known`, and `seed` draws wordings for
    /// the ceiling.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub(super) fn measure(
        truths: &Truths<'_>,
        known: &Truths<'_>,
        sentences: &SentenceEncoder,
        seed: u64,
    ) -> Result<Self> {
        let true_ones = || truths.embeddings.rows();
        let mean = unit_sum(known.embeddings.rows());
        let neighbours = pixel_neighbours(truths.all, known.all)?;
        let neighbours = neighbours.into_iter().map(|at| known.embeddings.row(at));
        Ok(Self {
            mean_embedding: mean_cosine(true_ones().map(|truth| (truth, mean.as_slice()))),
            pixel_neighbour: mean_cosine(true_ones().zip(neighbours)),
            known_images: known.all.len(),
            ceiling: ceiling(truths.all, sentences, seed)?,
        })
    }
}

/// The place of the known image with the least squared difference of pixels, for each of `truths`; nothing
/// if none is known.
fn pixel_neighbours(truths: &[Truth], known: &[Truth]) -> Result<Vec<usize>> {
    let pixels = |truths: &[Truth]| -> Result<Tensor> {
        let images: Vec<_> = truths.iter().map(|truth| truth.image.clone()).collect();
        let batch = Preprocess::symmetric(SIDE).batch(&images, &Device::Cpu)?;
        Ok(batch.flatten_from(1)?)
    };
    if truths.is_empty() || known.is_empty() {
        return Ok(vec![]);
    }
    let truths = pixels(truths)?;
    let mut nearest = vec![(f32::NEG_INFINITY, 0); truths.dim(0)?];
    for (number, batch) in known.chunks(BATCH_IMAGES).enumerate() {
        let batch = pixels(batch)?;
        // The squared difference of a and b is least where a b - b b / 2 is greatest.
        let half_squares = (batch.sqr()?.sum(1)? * 0.5)?;
        let scores = truths.matmul(&batch.t()?)?.broadcast_sub(&half_squares)?;
        let (best, places) = (
            scores.max(1)?.to_vec1()?,
            scores.argmax(1)?.to_vec1::<u32>()?,
        );
        for (nearest, (best, place)) in nearest.iter_mut().zip(best.into_iter().zip(places)) {
            if best > nearest.0 {
                *nearest = (best, number * BATCH_IMAGES + place as usize);
            }
        }
    }
    Ok(nearest.into_iter().map(|(_, place)| place).collect())
}

fn ceiling(truths: &[Truth], sentences: &SentenceEncoder, seed: u64) -> Result<Option<f64>> {
    let (most, wordings) = CEILING;
    let read = truths.iter().filter_map(|truth| grammar::read(&truth.text));
    let drawn: Vec<Meaning> = read.take(most).collect();
    if drawn.is_empty() {
        return Ok(None);
    }
    let all = sentences.embed(&meanings::wordings(&drawn, wordings, seed))?;
    let mut sum = 0.0;
    for first in (0..all.len()).step_by(wordings) {
        let own = first..first + wordings;
        for left_out in own.clone() {
            let others = own.clone().filter(|&wording| wording != left_out);
            sum += f64::from(cosine(&meanings::mean(&all, others), all.row(left_out)));
        }
    }
    Ok(Some(sum / all.len() as f64))
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn grey(level: u8) -> Truth {
        Truth {
            image: RgbImage::from_pixel(64, 64, Rgb([level; 3])),
            text: String::new(),
        }
    }

    #[test]
    fn the_neighbour_is_nearest_in_pixels_and_not_the_longest() {
        let known = [grey(0), grey(255), grey(100), grey(140)];
        let found = pixel_neighbours(&[grey(110), grey(130), grey(250)], &known).unwrap();
        assert_eq!(found, [2, 3, 1]);
        assert_eq!(pixel_neighbours(&[grey(1)], &[]).unwrap(), [0; 0]);
        let mut many = vec![grey(0); BATCH_IMAGES + 3];
        many[BATCH_IMAGES + 1] = grey(200);
        let found = pixel_neighbours(&[grey(190)], &many).unwrap();
        assert_eq!(found, [BATCH_IMAGES + 1], "in the second batch");
    }
}
