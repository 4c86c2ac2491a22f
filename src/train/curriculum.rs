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
#[derive(Clone, Debug, PartialEq)]
pub struct Easiness {
    /// What tells these examples from others.
    examples: String,
    /// Epochs with the cosines of all examples, from the oldest; no more are kept than count.
    records: Vec<(usize, Vec<f32>)>,
}

const EXAMPLES: &str = "unprompt.examples";

impl Easiness {
    /// Nothing yet, of examples that `examples` tells from others.
    pub fn new(examples: String) -> Self {
        Self {
            examples,
            records: vec![],
        }
    }

    /// Takes up the cosines of all examples after `epoch`. A run that was killed does an epoch again:
    /// what it recorded of this one and later ones before is dropped.
    pub fn record(&mut self, epoch: usize, cosines: Vec<f32>) {
        self.records.retain(|(earlier, _)| *earlier < epoch);
        self.records.push((epoch, cosines));
        let count = self.records.len();
        self.records.drain(..count.saturating_sub(WEIGHTS.len()));
    }

    /// The curriculum: examples by the weighted mean of their cosines, late ones weighing most; ties by
    /// number.
    pub fn curriculum(&self, stages: usize) -> Curriculum {
        let count = self.records.last().map_or(0, |(_, cosines)| cosines.len());
        let weights = &WEIGHTS[WEIGHTS.len() - self.records.len()..];
        let ease = |example: usize| -> f64 {
            let recorded = self.records.iter().zip(weights);
            recorded
                .map(|((_, cosines), weight)| f64::from(cosines[example]) * weight)
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
        let tensor = |(epoch, cosines): &(usize, Vec<f32>)| {
            let tensor = Tensor::from_slice(cosines, cosines.len(), &Device::Cpu)?;
            Ok((epoch.to_string(), tensor))
        };
        let tensors = self.records.iter().map(tensor);
        let tensors = tensors.collect::<Result<HashMap<_, _>>>()?;
        let metadata = HashMap::from([(EXAMPLES.to_owned(), self.examples.clone())]);
        write_tensors(path, &tensors, metadata)
    }

    /// Reads what [`Easiness::write`] has written of the same `examples`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Weights`] if the file cannot be read, [`Error::OtherExamples`] if it
    /// is of other examples.
    pub fn read(path: &Path, examples: &str) -> Result<Self> {
        let other = || Error::OtherExamples {
            path: path.to_owned(),
        };
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let header = safetensors::SafeTensors::read_metadata(&bytes);
        let (_, header) =
            header.map_err(|error| weights::failed(path, candle_core::Error::wrap(error)))?;
        let found = header.metadata().as_ref().and_then(|it| it.get(EXAMPLES));
        if found.is_none_or(|found| found != examples) {
            return Err(other());
        }
        let mut records = weights::tensors(path, &Device::Cpu)?
            .into_iter()
            .map(|(epoch, tensor)| {
                let epoch = epoch.parse().map_err(|_| other())?;
                Ok((epoch, tensor.flatten_all()?.to_vec1()?))
            })
            .collect::<Result<Vec<(usize, Vec<f32>)>>>()?;
        records.sort_by_key(|(epoch, _)| *epoch);
        let even = |pair: &[(usize, Vec<f32>)]| pair[0].1.len() == pair[1].1.len();
        if records.len() > WEIGHTS.len() || !records.windows(2).all(even) {
            return Err(other());
        }
        Ok(Self {
            examples: examples.to_owned(),
            records,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_records_weigh_most_and_easy_examples_come_first() {
        let mut easiness = Easiness::new("these".into());
        // Only the last three count: by them example 2 is the easiest, then 0, then 1 and 3.
        for (epoch, cosines) in [
            (0, [1.0, 0.0, 0.0, 0.0]),
            (1, [0.5, 0.1, 0.0, 0.1]),
            (3, [0.5, 0.2, 0.5, 0.2]),
            (4, [9.0, 9.0, 9.0, 9.0]),
            // Done again after a kill.
            (4, [0.5, 0.3, 0.9, 0.3]),
        ] {
            easiness.record(epoch, cosines.to_vec());
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
        let mut easiness = Easiness::new("these".into());
        easiness.record(2, vec![0.25, 0.5]);
        easiness.record(10, vec![0.75, 1.0]);
        easiness.write(&path).unwrap();
        assert_eq!(Easiness::read(&path, "these").unwrap(), easiness);
        let error = Easiness::read(&path, "others").unwrap_err();
        assert!(matches!(error, Error::OtherExamples { .. }), "{error}");
    }
}
