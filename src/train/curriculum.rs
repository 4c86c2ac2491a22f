//! From easy to hard (docs/method.md): examples whose prompt was soon predicted well come first, since
//! their prompts hold less that no image tells.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::checkpoint::write_tensors;
use crate::error::{Error, Result};
use crate::weights;

/// Weights of the last recorded cosines of an example, from the oldest: the paper's.
const WEIGHTS: [f64; 3] = [0.2, 0.3, 0.5];

/// Which examples a run sees first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curriculum {
    /// All examples, the easiest first.
    pub order: Vec<usize>,
    /// Epochs until all of them are seen.
    pub stages: usize,
}

impl Curriculum {
    /// The examples of an epoch, counted from 0: in stage s of S the easiest `1 / (S - s + 1)` of all,
    /// one stage an epoch, then all of them.
    pub fn examples(&self, epoch: usize) -> &[usize] {
        let parts = self.stages.saturating_sub(epoch).max(1);
        &self.order[..self.order.len().div_ceil(parts)]
    }
}

/// How well each example was predicted, after each epoch that improved validation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Easiness {
    /// Cosines by example, from the oldest; no more are kept than count.
    records: Vec<Vec<f32>>,
}

impl Easiness {
    /// Takes up the cosines of all examples.
    pub fn record(&mut self, cosines: Vec<f32>) {
        self.records.push(cosines);
        let count = self.records.len();
        self.records.drain(..count.saturating_sub(WEIGHTS.len()));
    }

    /// The curriculum: examples by the weighted mean of their cosines, late ones weighing most; ties by
    /// number.
    pub fn curriculum(&self, stages: usize) -> Curriculum {
        let count = self.records.last().map_or(0, Vec::len);
        let weights = &WEIGHTS[WEIGHTS.len() - self.records.len()..];
        let ease = |example: usize| -> f64 {
            let recorded = self.records.iter().zip(weights);
            recorded
                .map(|(cosines, weight)| f64::from(cosines[example]) * weight)
                .sum()
        };
        let mut order: Vec<(f64, usize)> = (0..count).map(|i| (ease(i), i)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        Curriculum {
            order: order.into_iter().map(|(_, example)| example).collect(),
            stages,
        }
    }

    /// Writes the records.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let tensors = self
            .records
            .iter()
            .enumerate()
            .map(|(number, cosines)| {
                let tensor = Tensor::from_slice(cosines, cosines.len(), &Device::Cpu)?;
                Ok((number.to_string(), tensor))
            })
            .collect::<Result<HashMap<_, _>>>()?;
        write_tensors(path, &tensors, HashMap::new())
    }

    /// Reads what [`Easiness::write`] has written, of `count` examples.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Weights`] if the file cannot be read, [`Error::OtherExamples`] if it
    /// is of other examples.
    pub fn read(path: &Path, count: usize) -> Result<Self> {
        let tensors = weights::tensors(path, &Device::Cpu)?;
        let records = (0..WEIGHTS.len())
            .map_while(|number| tensors.get(&number.to_string()))
            .map(|tensor| Ok(tensor.flatten_all()?.to_vec1()?))
            .collect::<Result<Vec<Vec<f32>>>>()?;
        let found = records.first().map_or(0, Vec::len);
        if found != count || records.iter().any(|cosines| cosines.len() != count) {
            return Err(Error::OtherExamples {
                path: path.to_owned(),
                found,
                expected: count,
            });
        }
        Ok(Self { records })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_records_weigh_most_and_easy_examples_come_first() {
        let mut easiness = Easiness::default();
        // Only the last three count: by them example 2 is the easiest, then 0, then 1 and 3.
        for cosines in [
            [1.0, 0.0, 0.0, 0.0],
            [0.5, 0.1, 0.0, 0.1],
            [0.5, 0.2, 0.5, 0.2],
            [0.5, 0.3, 0.9, 0.3],
        ] {
            easiness.record(cosines.to_vec());
        }
        let curriculum = easiness.curriculum(3);
        assert_eq!(curriculum.order, [2, 0, 1, 3]);
        assert_eq!(curriculum.examples(0), [2, 0]);
        assert_eq!(curriculum.examples(1), [2, 0]);
        assert_eq!(curriculum.examples(2), [2, 0, 1, 3]);
        assert_eq!(curriculum.examples(9), [2, 0, 1, 3]);
    }

    #[test]
    fn records_come_back_and_those_of_other_examples_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("easiness.safetensors");
        let mut easiness = Easiness::default();
        easiness.record(vec![0.25, 0.5]);
        easiness.record(vec![0.75, 1.0]);
        easiness.write(&path).unwrap();
        assert_eq!(Easiness::read(&path, 2).unwrap(), easiness);
        let error = Easiness::read(&path, 3).unwrap_err();
        assert!(matches!(error, Error::OtherExamples { .. }), "{error}");
    }
}
