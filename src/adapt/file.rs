//! An adaptation's file, in the safetensors format: points, weights and base, and how they were fitted.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::Adaptation;
use super::kernel::Kernel;

/// The key of the fit in the file's metadata.
const FIT: &str = "unprompt.adaptation";

/// How an adaptation was fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitRecord {
    /// The command that asked for it.
    pub command: String,
    /// The commit that the program was built from.
    pub commit: String,
    /// What tells the model whose predictions it adapts from every other.
    pub model: String,
    /// Predictions for training images.
    pub source_images: usize,
    /// Their centroids.
    pub centroids: usize,
    /// Predictions for images of the target domain.
    pub target_images: usize,
    /// How fast similarity falls with distance.
    pub gamma: f64,
    /// The ridge penalty.
    pub alpha: f64,
    /// Seed of the clustering.
    pub seed: u64,
}

impl Adaptation {
    /// The file's bytes.
    ///
    /// # Errors
    /// If they cannot be put into the format.
    pub fn to_bytes(&self, record: &FitRecord) -> crate::error::Result<Vec<u8>> {
        self.serialize(record)
            .map_err(|why| crate::Error::Tensor(candle_core::Error::Msg(why)))
    }

    fn serialize(&self, record: &FitRecord) -> Result<Vec<u8>, String> {
        let singles =
            |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
        let (points, weights) = (singles(&self.points), singles(&self.weights));
        let base: Vec<u8> = self.base.iter().flat_map(|x| x.to_le_bytes()).collect();
        let shape = vec![self.len(), self.dim];
        let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes);
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let tensors = [
            ("points", view(Dtype::F32, shape.clone(), &points)),
            ("weights", view(Dtype::F32, shape, &weights)),
            ("base", view(Dtype::F64, vec![self.dim], &base)),
        ];
        let tensors: Vec<(&str, TensorView<'_>)> = tensors
            .into_iter()
            .map(|(name, view)| Ok((name, view.map_err(|error| text(&error))?)))
            .collect::<Result<_, String>>()?;
        let json = serde_json::to_string(record).map_err(|error| text(&error))?;
        let metadata = HashMap::from([(FIT.to_owned(), json)]);
        safetensors::serialize(tensors, Some(metadata)).map_err(|error| text(&error))
    }

    /// Reads [`Adaptation::to_bytes`].
    ///
    /// # Errors
    /// What is wrong with the bytes, as text.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, FitRecord), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| text(&error))?;
        let json = header.metadata().as_ref().and_then(|it| it.get(FIT));
        let json = json.ok_or_else(|| format!("no {FIT} in its metadata"))?;
        let record: FitRecord = serde_json::from_str(json).map_err(|error| text(&error))?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| text(&error))?;
        let tensor = |name: &str, dtype: Dtype| -> Result<TensorView<'_>, String> {
            let tensor = file.tensor(name).map_err(|error| text(&error))?;
            let found = tensor.dtype();
            if found == dtype {
                Ok(tensor)
            } else {
                Err(format!("{name} is {found:?}, not {dtype:?}"))
            }
        };
        let points = tensor("points", Dtype::F32)?;
        let weights = tensor("weights", Dtype::F32)?;
        let base = tensor("base", Dtype::F64)?;
        let (&[count, dim], &[base_dim]) = (points.shape(), base.shape()) else {
            return Err("points are no matrix, or base is no row".into());
        };
        if count == 0 || dim == 0 || weights.shape() != [count, dim] || base_dim != dim {
            return Err("points, weights and base do not fit each other".into());
        }
        let singles = |view: &TensorView<'_>| -> Vec<f32> {
            let (values, _) = view.data().as_chunks::<4>();
            values
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect()
        };
        let (doubles, _) = base.data().as_chunks::<8>();
        let adaptation = Self {
            dim,
            kernel: Kernel {
                gamma: record.gamma,
            },
            points: singles(&points),
            weights: singles(&weights),
            base: doubles
                .iter()
                .map(|bytes| f64::from_le_bytes(*bytes))
                .collect(),
        };
        let singles = adaptation.points.iter().chain(&adaptation.weights);
        let finite = singles
            .map(|x| f64::from(*x))
            .chain(adaptation.base.iter().copied());
        if !finite.chain([record.gamma]).all(f64::is_finite) || record.gamma <= 0.0 {
            return Err("it holds numbers out of range".into());
        }
        Ok((adaptation, record))
    }
}
