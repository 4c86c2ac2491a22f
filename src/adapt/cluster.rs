//! Bisecting k-means (Steinbach, Karypis and Kumar, 2000): the cluster of the largest inertia, the sum of
//! squared distances to its mean, is split in two until there are enough.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::numeric;

/// Clusters of unit vectors.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clusters {
    /// The mean of each cluster, made a unit vector, row-major.
    pub(super) centroids: Vec<f32>,
    /// The row that is nearest to the centroid, of those in its cluster.
    pub(super) nearest: Vec<usize>,
}

/// Times that the members of a pair of clusters are dealt out anew, at most.
const ROUNDS: usize = 10;

/// Clusters found between two looks at `observe`.
const LOOK_EVERY: usize = 64;

/// The clusters of `rows`: at least one unit vector of `dim` numbers, row-major. There are `count` of them,
/// or fewer if fewer rows differ. Equal seeds give equal clusters.
///
/// # Errors
/// [`Error::Cancelled`] if `observe`, which is told of clusters so far and of how many, breaks.
///
/// # Panics
/// If there is no row.
pub(super) fn bisecting(
    rows: &[f32],
    dim: usize,
    count: usize,
    seed: u64,
    observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Clusters> {
    let rows = Rows { values: rows, dim };
    let count = count.clamp(1, rows.len());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let all: Vec<u32> = (0..rows.len() as u32).collect();
    let mut heap = BinaryHeap::from([Cluster::of(&rows, all)]);
    let mut finished = vec![];
    while heap.len() + finished.len() < count {
        let found = heap.len() + finished.len();
        if found % LOOK_EVERY == 1 && observe(found, count).is_break() {
            return Err(Error::Cancelled);
        }
        let Some(largest) = heap.pop() else { break };
        match split(&rows, &largest, &mut rng) {
            Some((one, other)) => heap.extend([one, other]),
            None => finished.push(largest),
        }
    }
    let mut clusters: Vec<Cluster> = heap.into_vec();
    clusters.append(&mut finished);
    // A cluster is known by its first member, whatever order a heap leaves.
    clusters.sort_by_key(|cluster| cluster.members.first().copied());
    let found: Vec<(Vec<f32>, usize)> = clusters
        .par_iter()
        .map(|cluster| {
            let centroid = unit(&cluster.mean);
            let nearest = cluster.members.iter().copied().max_by(|&a, &b| {
                let along = |row| {
                    numeric::vectorised(
                        #[inline(always)]
                        || numeric::dot(rows.row(row), &centroid),
                    )
                };
                along(a).total_cmp(&along(b)).then(b.cmp(&a))
            });
            (centroid, nearest.unwrap_or_default() as usize)
        })
        .collect();
    let (centroids, nearest): (Vec<Vec<f32>>, Vec<usize>) = found.into_iter().unzip();
    Ok(Clusters {
        centroids: centroids.concat(),
        nearest,
    })
}

struct Rows<'a> {
    values: &'a [f32],
    dim: usize,
}

impl Rows<'_> {
    fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    fn row(&self, number: u32) -> &[f32] {
        &self.values[number as usize * self.dim..][..self.dim]
    }

    fn mean(&self, members: &[u32]) -> Vec<f32> {
        let mut sum = vec![0f64; self.dim];
        for &member in members {
            let row = self.row(member);
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let count = members.len().max(1) as f64;
        sum.iter().map(|sum| (sum / count) as f32).collect()
    }

    /// The dot product of each member with `direction`.
    fn along(&self, members: &[u32], direction: &[f32]) -> Vec<f32> {
        members
            .par_iter()
            .with_min_len(1024)
            .map(|&member| {
                numeric::vectorised(
                    #[inline(always)]
                    || numeric::dot(self.row(member), direction),
                )
            })
            .collect()
    }
}

#[derive(Debug)]
struct Cluster {
    /// Numbers of rows, ascending.
    members: Vec<u32>,
    mean: Vec<f32>,
    /// Sum of the squared distances to the mean.
    inertia: f64,
}

impl Cluster {
    fn of(rows: &Rows<'_>, members: Vec<u32>) -> Self {
        let mean = rows.mean(&members);
        // Rows are unit vectors: the squares sum to their number.
        let length: f64 = mean.iter().map(|x| f64::from(*x).powi(2)).sum();
        let inertia = members.len() as f64 * (1.0 - length).max(0.0);
        Self {
            members,
            mean,
            inertia,
        }
    }
}

impl PartialEq for Cluster {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cluster {}

impl PartialOrd for Cluster {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cluster {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_member = || other.members.first().cmp(&self.members.first());
        self.inertia.total_cmp(&other.inertia).then_with(by_member)
    }
}

/// Two clusters of one, by k-means that begins as k-means++ does (Arthur & Vassilvitskii, 2007); `None`
/// if its rows are all the same.
fn split(rows: &Rows<'_>, cluster: &Cluster, rng: &mut ChaCha8Rng) -> Option<(Cluster, Cluster)> {
    let members = &cluster.members;
    let first = rows.row(members[rng.random_range(0..members.len())]);
    // Squared distances of unit vectors, less what rounding makes of none.
    let distances: Vec<f64> = rows
        .along(members, first)
        .iter()
        .map(|cosine| (2.0 - 2.0 * f64::from(*cosine) - 1e-6).max(0.0))
        .collect();
    let total: f64 = distances.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let mut left = rng.random::<f64>() * total;
    let second = distances.iter().position(|distance| {
        left -= distance;
        left < 0.0
    });
    let last = distances.iter().rposition(|distance| *distance > 0.0);
    let second = rows.row(members[second.or(last)?]);
    let (mut one, mut other) = (first.to_vec(), second.to_vec());
    let mut sides: Vec<bool> = vec![];
    for _ in 0..ROUNDS {
        let dealt = deal(rows, members, &one, &other);
        if dealt == sides {
            break;
        }
        let side = |wanted| -> Vec<u32> {
            let sides = members.iter().zip(&dealt);
            sides
                .filter(|&(_, side)| *side == wanted)
                .map(|(member, _)| *member)
                .collect()
        };
        let (ones, others) = (side(true), side(false));
        if ones.is_empty() || others.is_empty() {
            break;
        }
        (one, other) = (rows.mean(&ones), rows.mean(&others));
        sides = dealt;
    }
    let (ones, others): (Vec<_>, Vec<_>) = members.iter().zip(&sides).partition(|&(_, side)| *side);
    let cluster = |side: Vec<(&u32, &bool)>| {
        Cluster::of(rows, side.into_iter().map(|(member, _)| *member).collect())
    };
    (!ones.is_empty() && !others.is_empty()).then(|| (cluster(ones), cluster(others)))
}

/// Whether each member is nearer to `one` than to `other`.
fn deal(rows: &Rows<'_>, members: &[u32], one: &[f32], other: &[f32]) -> Vec<bool> {
    let direction: Vec<f32> = one.iter().zip(other).map(|(a, b)| a - b).collect();
    let square = |row: &[f32]| {
        numeric::vectorised(
            #[inline(always)]
            || numeric::dot(row, row),
        )
    };
    let middle = (square(one) - square(other)) / 2.0;
    rows.along(members, &direction)
        .iter()
        .map(|along| *along > middle)
        .collect()
}

fn unit(mean: &[f32]) -> Vec<f32> {
    let norm = numeric::vectorised(
        #[inline(always)]
        || numeric::dot(mean, mean),
    )
    .sqrt();
    mean.iter()
        .map(|x| x / norm.max(f32::MIN_POSITIVE))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    const DIM: usize = 16;

    /// Unit vectors around `centres` of them.
    fn blobs(centres: usize, each: usize, spread: f64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut rows = vec![];
        for _ in 0..centres {
            let centre = random::normals(&mut rng, DIM);
            for _ in 0..each {
                let noise = random::normals(&mut rng, DIM);
                let row: Vec<f32> = centre
                    .iter()
                    .zip(noise)
                    .map(|(x, noise)| x + spread as f32 * noise)
                    .collect();
                rows.extend(unit(&row));
            }
        }
        rows
    }

    fn clusters(rows: &[f32], count: usize, seed: u64) -> Clusters {
        bisecting(
            rows,
            DIM,
            count,
            seed,
            &mut |_, _| ControlFlow::Continue(()),
        )
        .unwrap()
    }

    #[test]
    fn blobs_are_found() {
        let rows = blobs(12, 30, 0.02);
        for seed in 1..4 {
            let found = clusters(&rows, 12, seed);
            let mut blobs: Vec<usize> = found.nearest.iter().map(|row| row / 30).collect();
            blobs.sort_unstable();
            assert_eq!(blobs, (0..12).collect::<Vec<_>>(), "seed {seed}");
            for (centroid, nearest) in found.centroids.chunks(DIM).zip(&found.nearest) {
                let along = numeric::dot(centroid, &rows[nearest * DIM..][..DIM]);
                assert!(along > 0.99, "{along}");
            }
        }
    }

    #[test]
    fn equal_seeds_give_equal_clusters_and_other_seeds_others() {
        let rows = blobs(5, 100, 1.0);
        assert_eq!(clusters(&rows, 50, 1), clusters(&rows, 50, 1));
        assert_ne!(clusters(&rows, 50, 1), clusters(&rows, 50, 2));
    }

    #[test]
    fn there_are_no_more_clusters_than_different_rows() {
        let mut rows = blobs(3, 1, 0.0);
        rows.extend(rows.clone());
        assert_eq!(clusters(&rows, 100, 1).nearest.len(), 3);
        let one = clusters(&rows[..DIM], 7, 1);
        assert_eq!(one.nearest, [0]);
    }

    #[test]
    fn more_clusters_are_tighter() {
        let rows = blobs(20, 50, 0.5);
        let tightness = |count| {
            let found = clusters(&rows, count, 1);
            let nearest = |row: &[f32]| {
                let centroids = found.centroids.chunks(DIM);
                centroids
                    .map(|it| numeric::dot(it, row))
                    .fold(-1.0, f32::max)
            };
            rows.chunks(DIM).map(nearest).sum::<f32>() / 1000.0
        };
        let (few, some, many) = (tightness(5), tightness(20), tightness(200));
        assert!(
            few + 0.05 < some && some + 0.02 < many,
            "{few} {some} {many}"
        );
    }
}
