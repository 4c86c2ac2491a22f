//! Whether an image is like those that a model has learnt from.
//!
//! A network predicts something for any image, and prompts that are near to it can always be found. Predictions
//! for images of another world are far from those for validation images, though, by Mahalanobis distance (as in
//! Lee et al., NeurIPS 2018, there of a network's features).

use faer::Mat;

use super::singles;
use super::whitening::Whitening;
use crate::error::{Error, Result};

/// The share of validation images that are farther than the limit.
const BEYOND: f64 = 0.02;

/// What is added to each variance, as a share of the mean one: directions in which predictions do not vary say
/// nothing but rounding.
const RIDGE: f64 = 1e-6;

/// Predictions for familiar images: their mean, and how they vary.
#[derive(Clone, Debug, PartialEq)]
pub struct Familiarity {
    mean: Vec<f32>,
    whitening: Whitening,
    /// The largest squared distance that is familiar.
    limit: f32,
}

impl Familiarity {
    /// Fits it to predicted embeddings of familiar images: every second is what others are measured by, and the
    /// rest say how far is far.
    ///
    /// # Errors
    /// [`Error::TooFewAnswers`] if there are fewer than [`needed`](Self::needed), [`Error::Singular`].
    pub fn fit(embeddings: &[&[f32]]) -> Result<Self> {
        let dim = embeddings.first().map_or(0, |first| first.len());
        let needed = Self::needed(dim);
        if embeddings.len() < needed {
            return Err(Error::TooFewAnswers {
                found: embeddings.len(),
                needed,
            });
        }
        let measure: Vec<&[f32]> = embeddings.iter().step_by(2).copied().collect();
        let count = measure.len() as f64;
        let mean: Vec<f64> = (0..dim)
            .map(|at| measure.iter().map(|row| f64::from(row[at])).sum::<f64>() / count)
            .collect();
        let centred = Mat::from_fn(measure.len(), dim, |row, at| {
            f64::from(measure[row][at]) - mean[at]
        });
        let mut fitted = Self {
            mean: mean.iter().map(|x| *x as f32).collect(),
            whitening: Whitening::fit(&centred, RIDGE)?,
            limit: f32::INFINITY,
        };
        let others = embeddings.iter().skip(1).step_by(2);
        let mut distances: Vec<f32> = others.map(|row| fitted.distance(row)).collect();
        distances.sort_by(f32::total_cmp);
        let place = (distances.len() as f64 * (1.0 - BEYOND)) as usize;
        fitted.limit = distances[place.min(distances.len() - 1)];
        Ok(fitted)
    }

    /// How many embeddings of a dimension are needed to fit it.
    pub fn needed(dim: usize) -> usize {
        Whitening::needed(dim)
    }

    /// Whether an image with this predicted embedding is like those that were learnt from.
    ///
    /// # Panics
    /// If the embedding has another dimension.
    pub fn knows(&self, embedding: &[f32]) -> bool {
        self.distance(embedding) <= self.limit
    }

    /// Dimension of the embeddings.
    pub(super) fn dim(&self) -> usize {
        self.mean.len()
    }

    /// The squared distance from the mean, in variances.
    fn distance(&self, embedding: &[f32]) -> f32 {
        assert_eq!(embedding.len(), self.mean.len());
        let centred: Vec<f32> = embedding
            .iter()
            .zip(&self.mean)
            .map(|(x, mean)| x - mean)
            .collect();
        self.whitening.squared_length(&centred)
    }

    /// The file's bytes, in the safetensors format.
    ///
    /// # Errors
    /// If they cannot be put into the format.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        singles::to_bytes(&[
            ("mean", &self.mean),
            ("whitening", &self.whitening.triangle()),
            ("limit", &[self.limit]),
        ])
    }

    /// Reads [`Familiarity::to_bytes`]; what is wrong as text.
    pub(super) fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, String> {
        let [mean, whitening, limit] = singles::from_bytes(bytes, ["mean", "whitening", "limit"])?;
        let [limit] = limit[..] else {
            return Err("limit is not one number".into());
        };
        let whitening = Whitening::from_triangle(&whitening)?;
        if whitening.dim() != mean.len() {
            return Err("mean and whitening do not fit each other".into());
        }
        Ok(Self {
            mean,
            whitening,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::random;

    /// Points that vary much in one direction and little in the others.
    fn points(seed: u64, count: usize) -> Vec<Vec<f32>> {
        let numbers = random::normals(&mut ChaCha8Rng::seed_from_u64(seed), count * 4);
        let point = |x: &[f32]| vec![1.0 + x[0], x[0] + 0.1 * x[1], 0.1 * x[2], 0.1 * x[3]];
        numbers.chunks_exact(4).map(point).collect()
    }

    fn fitted() -> Familiarity {
        let points = points(1, 1000);
        let rows: Vec<&[f32]> = points.iter().map(Vec::as_slice).collect();
        Familiarity::fit(&rows).unwrap()
    }

    #[test]
    fn knows_what_varies_as_the_familiar_does() {
        let familiarity = fitted();
        let known = points(2, 1000)
            .iter()
            .filter(|it| familiarity.knows(it))
            .count();
        assert!((960..1000).contains(&known), "{known}");
        // Far along the wide direction, and as near across it.
        assert!(familiarity.knows(&[3.0, 2.0, 0.0, 0.0]));
        assert!(!familiarity.knows(&[1.5, -0.5, 0.0, 0.0]));
        let few: [&[f32]; 7] = [&[1.0, 0.0]; 7];
        assert!(Familiarity::fit(&few).is_err());
    }

    #[test]
    fn distances_are_in_variances() {
        let familiarity = fitted();
        let points = points(3, 1000);
        let mean = points
            .iter()
            .map(|it| f64::from(familiarity.distance(it)))
            .sum::<f64>()
            / 1000.0;
        assert!((mean - 4.0).abs() < 0.3, "{mean}");
    }

    #[test]
    fn comes_back_from_bytes_and_damage_is_refused() {
        let familiarity = fitted();
        let bytes = familiarity.to_bytes().unwrap();
        assert_eq!(Familiarity::from_bytes(&bytes).unwrap(), familiarity);
        assert!(Familiarity::from_bytes(&bytes[..bytes.len() - 4]).is_err());
        let mut short = familiarity.clone();
        short.mean.pop();
        assert!(Familiarity::from_bytes(&short.to_bytes().unwrap()).is_err());
        let mut infinite = familiarity;
        infinite.limit = f32::INFINITY;
        assert!(Familiarity::from_bytes(&infinite.to_bytes().unwrap()).is_err());
    }
}
