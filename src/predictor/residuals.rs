//! How the embeddings of true prompts differ from the predicted ones.
//!
//! A cosine counts every direction alike. Wordings of one meaning differ far more in some directions than in others,
//! though, and so do predictions from the truth. With the covariance of these residuals, fitted to validation images,
//! the nearness of a prompt is the logarithm of a Gaussian density: what within-class covariance is to linear
//! discriminant analysis (Fisher, 1936) and to the scoring of speaker embeddings.

use faer::Mat;

use super::singles;
use super::whitening::Whitening;
use crate::error::{Error, Result};
use crate::text::mean_cosine;

/// What is added to each variance, as a share of the mean one. Of .03, .1, .3, .6, 1, 2 and 4, this made the true
/// prompts of 1000 other images likeliest among their candidates (vit, 3000 residuals; with 1500 .3 and .6 alike).
const RIDGE: f64 = 0.3;

/// A predicted embedding's residuals.
#[derive(Clone, Debug, PartialEq)]
pub struct Residuals {
    /// What predictions, which are unit vectors, are multiplied by: the mean cosine to the truth.
    scale: f32,
    whitening: Whitening,
}

impl Residuals {
    /// Fits them to pairs of predicted and true embeddings, unit vectors.
    ///
    /// # Errors
    /// [`Error::TooFewAnswers`] if there are fewer than [`needed`](Self::needed), [`Error::Singular`].
    ///
    /// # Panics
    /// If embeddings differ in length.
    pub fn fit(pairs: &[(&[f32], &[f32])]) -> Result<Self> {
        let dim = pairs.first().map_or(0, |(predicted, _)| predicted.len());
        let needed = Self::needed(dim);
        if pairs.len() < needed {
            return Err(Error::TooFewAnswers {
                found: pairs.len(),
                needed,
            });
        }
        let scale = mean_cosine(pairs.iter().copied());
        let rows = Mat::from_fn(pairs.len(), dim, |row, at| {
            let (predicted, truth) = pairs[row];
            f64::from(truth[at]) - scale * f64::from(predicted[at])
        });
        Ok(Self {
            scale: scale as f32,
            whitening: Whitening::fit(&rows, RIDGE)?,
        })
    }

    /// How many pairs of a dimension are needed to fit them.
    pub fn needed(dim: usize) -> usize {
        Whitening::needed(dim)
    }

    /// Logarithm of the likelihood that a prompt with the embedding `candidate` is the true one where `predicted` is
    /// predicted, but for a constant; at most 0.
    ///
    /// # Panics
    /// If an embedding has another dimension.
    pub fn log_likelihood(&self, predicted: &[f32], candidate: &[f32]) -> f32 {
        assert_eq!(predicted.len(), candidate.len());
        let residual: Vec<f32> = candidate
            .iter()
            .zip(predicted)
            .map(|(candidate, predicted)| candidate - self.scale * predicted)
            .collect();
        -0.5 * self.whitening.squared_length(&residual)
    }

    /// Dimension of the embeddings.
    pub(super) fn dim(&self) -> usize {
        self.whitening.dim()
    }

    /// The file's bytes, in the safetensors format.
    ///
    /// # Errors
    /// If they cannot be put into the format.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        singles::to_bytes(&[
            ("scale", &[self.scale]),
            ("whitening", &self.whitening.triangle()),
        ])
    }

    /// Reads [`Residuals::to_bytes`]; what is wrong as text.
    pub(super) fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, String> {
        let [scale, whitening] = singles::from_bytes(bytes, ["scale", "whitening"])?;
        let [scale] = scale[..] else {
            return Err("scale is not one number".into());
        };
        Ok(Self {
            scale,
            whitening: Whitening::from_triangle(&whitening)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::random;

    /// Truths around `[1, 0, 0]`: far off in the second number, hardly in the third.
    fn fitted() -> Residuals {
        let noise = random::normals(&mut ChaCha8Rng::seed_from_u64(1), 2000);
        let truths: Vec<Vec<f32>> = noise
            .chunks_exact(2)
            .map(|x| vec![1.0, 0.5 * x[0], 0.05 * x[1]])
            .collect();
        let pairs: Vec<(&[f32], &[f32])> = truths
            .iter()
            .map(|truth| ([1.0, 0.0, 0.0].as_slice(), truth.as_slice()))
            .collect();
        Residuals::fit(&pairs).unwrap()
    }

    #[test]
    fn what_varies_anyway_counts_little() {
        let residuals = fitted();
        let of = |candidate: [f32; 3]| residuals.log_likelihood(&[1.0, 0.0, 0.0], &candidate);
        let (far, across) = (of([1.0, 0.5, 0.0]), of([1.0, 0.0, 0.5]));
        assert!(
            far < of([1.0, 0.0, 0.0]) && across < 2.0 * far,
            "{far} {across}"
        );
        // In variances: .25 / (.25 + .3 * a third of it).
        assert!(
            (far + 0.5 * 0.25 / (0.25 + 0.1 * 0.2525)).abs() < 0.05,
            "{far}"
        );
        let few: [(&[f32], &[f32]); 11] = [(&[1.0, 0.0, 0.0], &[1.0, 0.0, 0.0]); 11];
        assert!(Residuals::fit(&few).is_err());
    }

    #[test]
    fn comes_back_from_bytes_and_damage_is_refused() {
        let residuals = fitted();
        let bytes = residuals.to_bytes().unwrap();
        assert_eq!(Residuals::from_bytes(&bytes).unwrap(), residuals);
        assert!(Residuals::from_bytes(&bytes[..bytes.len() - 4]).is_err());
        let written = |scale: &[f32], whitening: &[f32]| {
            let lists = [("scale", scale), ("whitening", whitening)];
            singles::to_bytes(&lists).unwrap()
        };
        for (scale, whitening) in [
            (vec![1.0], vec![1.0; 5]),
            (vec![1.0], vec![]),
            (vec![1.0, 1.0], vec![1.0; 6]),
            (vec![f32::NAN], vec![1.0; 6]),
            (vec![1.0], vec![f32::INFINITY; 6]),
        ] {
            assert!(Residuals::from_bytes(&written(&scale, &whitening)).is_err());
        }
    }
}
