//! The domain-adaptive kernel (Croitoru et al., 2023, "Domain-adaptive kernel learning"): what a model
//! predicts for images of a target domain, which it was not trained on, corrected by how those predictions
//! lie among the ones of its training images, the source domain.
//!
//! A prediction is described by its similarity to each of many points: centroids of the predictions for
//! the source, and the predictions for the target, which needs no prompts. Ridge regression from that
//! description to the embeddings of prompts, fitted on the centroids, is the adapted prediction.

mod cluster;
mod file;
mod kernel;
mod ridge;

use std::ops::ControlFlow;

use faer::Mat;

pub use self::file::FitRecord;

use self::cluster::bisecting;
use self::kernel::Kernel;
use self::ridge::Ridge;
use crate::error::{Error, Result};
use crate::numeric;

/// Settings of a fit; the defaults are the paper's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptOptions {
    /// Centroids that predictions for training images are gathered in, at most.
    pub centroids: usize,
    /// How fast similarity falls with distance; above 0.
    pub gamma: f64,
    /// The ridge penalty; above 0.
    pub alpha: f64,
    /// Seed of the clustering.
    pub seed: u64,
}

impl Default for AdaptOptions {
    fn default() -> Self {
        Self {
            centroids: 10_000,
            gamma: 0.01,
            alpha: 10.0,
            seed: 1,
        }
    }
}

/// Predictions for training images (unit vectors) with the embeddings of their prompts, both row-major.
#[derive(Clone, Copy, Debug)]
pub struct SourceDomain<'a> {
    /// What the model predicts.
    pub predictions: &'a [f32],
    /// What is true.
    pub embeddings: &'a [f32],
}

/// What a fit reports while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitEvent {
    /// Clusters found so far, of how many at most.
    Clusters(usize, usize),
    /// Slabs of similarities gone through so far, of how many.
    Equations(usize, usize),
}

/// Columns of similarities that are made at once.
const SLAB: usize = 512;

/// A fitted kernel regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Adaptation {
    dim: usize,
    kernel: Kernel,
    /// Unit vectors, row-major.
    points: Vec<f32>,
    /// What each point adds, row-major.
    weights: Vec<f32>,
    /// The sum of all weights: the regression of a prediction whose similarity to each point is 1.
    base: Vec<f64>,
}

impl Adaptation {
    /// Fits it to the `targets`: predictions for images of the target domain, unit vectors of `dim`
    /// numbers, row-major. `observe` is told how far it is.
    ///
    /// Takes `16 * centroids * centroids` bytes, 1.6 GB at 10 000, and a slab of 512 columns of
    /// similarities.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks, [`Error::NothingToAdapt`] without predictions of either
    /// domain, [`Error::Singular`] if the equations have no solution within double precision.
    ///
    /// # Panics
    /// If rows are not of `dim` numbers, the numbers of predictions and embeddings differ, or gamma or
    /// alpha is not above 0.
    pub fn fit(
        source: SourceDomain<'_>,
        targets: &[f32],
        dim: usize,
        options: AdaptOptions,
        observe: &mut dyn FnMut(FitEvent) -> ControlFlow<()>,
    ) -> Result<Self> {
        assert!(options.gamma > 0.0 && options.alpha > 0.0, "above 0");
        assert!(dim > 0 && targets.len().is_multiple_of(dim), "whole rows");
        assert_eq!(source.predictions.len(), source.embeddings.len());
        if source.predictions.is_empty() || targets.is_empty() {
            return Err(Error::NothingToAdapt);
        }
        let clusters = bisecting(
            source.predictions,
            dim,
            options.centroids,
            options.seed,
            &mut |done, total| observe(FitEvent::Clusters(done, total)),
        )?;
        let count = clusters.nearest.len();
        let labels = Mat::from_fn(count, dim, |row, column| {
            f64::from(source.embeddings[clusters.nearest[row] * dim + column])
        });
        let mut points = clusters.centroids;
        points.extend_from_slice(targets);
        let kernel = Kernel {
            gamma: options.gamma,
        };
        let regression = Ridge {
            rows: &kernel.rows(&points, dim),
            alpha: options.alpha,
            slab: SLAB,
        };
        let weights = regression.fit(&labels, &mut |done, total| {
            observe(FitEvent::Equations(done, total))
        })?;
        let base = (0..dim)
            .map(|column| weights.col(column).iter().sum())
            .collect();
        let rows = points.len() / dim;
        let weights = (0..rows)
            .flat_map(|row| (0..dim).map(move |column| (row, column)))
            .map(|(row, column)| weights[(row, column)] as f32)
            .collect();
        Ok(Self {
            dim,
            kernel,
            points,
            weights,
            base,
        })
    }

    /// Numbers of a prediction.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of points: centroids and targets.
    pub fn len(&self) -> usize {
        self.points.len() / self.dim
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The adapted prediction, a unit vector.
    ///
    /// # Panics
    /// If `prediction` is not of [`dim`](Self::dim) numbers.
    pub fn apply(&self, prediction: &[f32]) -> Vec<f32> {
        let regressed = self.regress(prediction);
        let norm = regressed.iter().map(|x| x * x).sum::<f64>().sqrt();
        if !norm.is_normal() {
            // A regression that says nothing adapts nothing.
            return prediction.to_vec();
        }
        regressed.iter().map(|x| (x / norm) as f32).collect()
    }

    /// What the regression says, of any length.
    ///
    /// # Panics
    /// If `prediction` is not of [`dim`](Self::dim) numbers.
    pub fn regress(&self, prediction: &[f32]) -> Vec<f64> {
        assert_eq!(prediction.len(), self.dim, "numbers of a prediction");
        let mut sum = self.base.clone();
        let points = self.points.chunks_exact(self.dim);
        numeric::vectorised(
            #[inline(always)]
            || {
                for (point, weights) in points.zip(self.weights.chunks_exact(self.dim)) {
                    let less = self
                        .kernel
                        .less_one(numeric::dot_in_double(prediction, point));
                    for (sum, weight) in sum.iter_mut().zip(weights) {
                        *sum += less * f64::from(*weight);
                    }
                }
            },
        );
        sum
    }
}
