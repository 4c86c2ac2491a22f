//! The weights of a published model: one safetensors file, or several with an index beside them.
//!
//! Tensors are read when they are asked for, under the names of our networks (see [`Layout`]). What
//! is left when a network has been built is an error: weights that nobody asked for mean another model.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use serde::Deserialize;

use super::layout::{Layout, Part, Source};
use crate::error::{Error, Result};

/// A checkpoint, mapped.
pub struct Checkpoint {
    /// The file, or the index of several: for messages.
    path: PathBuf,
    files: Vec<PathBuf>,
    names: BTreeSet<String>,
    mapped: Arc<MmapedSafetensors>,
    /// What has been asked for.
    taken: Arc<Mutex<BTreeSet<String>>>,
}

/// `*.safetensors.index.json`.
#[derive(Deserialize)]
struct WeightIndex {
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Maps the weights in `folder` whose files begin with `stem`: `{stem}.safetensors`, else the files
    /// that `{stem}.safetensors.index.json` names, else `{stem}.fp16.safetensors`.
    ///
    /// The files must not be changed in place while they are mapped (see [`super::open`]).
    ///
    /// # Errors
    ///
    /// [`Error::NoWeights`] if there are none, [`Error::WeightIndex`] for an index that does not fit its
    /// files, else what is wrong with a file.
    pub fn open(folder: &Path, stem: &str) -> Result<Self> {
        let plain = folder.join(format!("{stem}.safetensors"));
        let index = folder.join(format!("{stem}.safetensors.index.json"));
        let half = folder.join(format!("{stem}.fp16.safetensors"));
        if plain.is_file() {
            return Self::mapped(plain.clone(), vec![plain]);
        }
        if !index.is_file() && half.is_file() {
            return Self::mapped(half.clone(), vec![half]);
        }
        if !index.is_file() {
            let pickled = |name: &str| folder.join(name).is_file();
            // open_clip's own name lacks a part of ours.
            let torch = stem.replace("_model", "_pytorch_model");
            return Err(Error::NoWeights {
                folder: folder.to_owned(),
                stem: stem.to_owned(),
                pickled: [stem, &torch, "pytorch_model"]
                    .iter()
                    .any(|stem| pickled(&format!("{stem}.bin"))),
            });
        }
        let text = std::fs::read(&index).map_err(Error::io("read", &index))?;
        let read: WeightIndex =
            serde_json::from_slice(&text).map_err(|source| Error::ModelConfig {
                path: index.clone(),
                source,
            })?;
        let other = |why| Error::WeightIndex {
            path: index.clone(),
            why,
        };
        let files: BTreeSet<&String> = read.weight_map.values().collect();
        if let Some(file) = files.iter().find(|file| !is_plain_name(file)) {
            return Err(other(format!("{file:?} is no name of a file beside it")));
        }
        let files = files.into_iter().map(|file| folder.join(file)).collect();
        let checkpoint = Self::mapped(index.clone(), files)?;
        if checkpoint.mapped.tensors().len() > checkpoint.names.len() {
            return Err(other("two files hold a tensor of the same name".into()));
        }
        let missing = read.weight_map.keys();
        let missing = missing
            .into_iter()
            .find(|name| !checkpoint.names.contains(*name));
        if let Some(name) = missing {
            return Err(other(format!("no file holds {name:?}")));
        }
        Ok(checkpoint)
    }

    fn mapped(path: PathBuf, files: Vec<PathBuf>) -> Result<Self> {
        let mapped = super::map(&files)?;
        Ok(Self {
            path,
            files,
            names: mapped.tensors().into_iter().map(|(name, _)| name).collect(),
            mapped: Arc::new(mapped),
            taken: Arc::default(),
        })
    }

    /// All its files of tensors.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The same, and the file that lists them, if one does.
    pub fn all_files(&self) -> Vec<PathBuf> {
        let mut all = self.files.clone();
        if !all.contains(&self.path) {
            all.push(self.path.clone());
        }
        all
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether there is a tensor whose name begins so.
    pub fn has_below(&self, prefix: &str) -> bool {
        let mut below = self
            .names
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        below.next().is_some_and(|name| name.starts_with(prefix))
    }

    /// Its tensors in single precision by the names that our network has for them.
    fn builder(&self, layout: Layout, device: &Device) -> VarBuilder<'static> {
        let renamed = Renamed {
            mapped: Arc::clone(&self.mapped),
            taken: Arc::clone(&self.taken),
            source: layout.source,
        };
        VarBuilder::from_backend(Box::new(renamed), DType::F32, device.clone())
    }

    /// Checks, after a network has been built, that it has asked for all that the checkpoint holds.
    ///
    /// # Errors
    /// [`Error::UnknownWeights`] if it has not, and the layout does not say that this may be.
    fn check_used(&self, layout: &Layout) -> Result<()> {
        let taken = self.taken.lock().unwrap_or_else(|error| error.into_inner());
        let left = self.names.difference(&taken);
        let left: Vec<String> = left.filter(|it| !layout.passes_over(it)).cloned().collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::UnknownWeights {
            path: self.path.clone(),
            keys: left,
        })
    }

    /// All its tensors in single precision, by the names that it has for them.
    ///
    /// # Errors
    /// [`Error::Weights`] if one cannot be read.
    pub fn tensors(&self, device: &Device) -> Result<HashMap<String, Tensor>> {
        self.build(Layout::SAME, device, |vb| {
            let tensor = |name: &String| Ok((name.clone(), vb.get_unchecked(name)?));
            self.names.iter().map(tensor).collect()
        })
    }

    /// What `build` makes of all of the tensors.
    ///
    /// # Errors
    /// [`Error::MissingWeight`] and [`Error::Weights`] for what is not there or of another shape,
    /// [`Error::UnknownWeights`] for what it has not asked for.
    pub fn build<T>(
        &self,
        layout: Layout,
        device: &Device,
        build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<T>,
    ) -> Result<T> {
        let built = build(self.builder(layout, device));
        let built = built.map_err(|source| super::failed(&self.path, source))?;
        self.check_used(&layout)?;
        Ok(built)
    }
}

/// Whether a name leads to a file in the same folder.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':'])
}

/// Tensors of a map, under other names.
struct Renamed {
    mapped: Arc<MmapedSafetensors>,
    taken: Arc<Mutex<BTreeSet<String>>>,
    source: fn(&str) -> Source,
}

impl SimpleBackend for Renamed {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() == &shape {
            return Ok(tensor);
        }
        let msg = format!("shape mismatch for {}", (self.source)(name).name);
        Err(candle_core::Error::UnexpectedShape {
            msg,
            expected: shape,
            got: tensor.shape().clone(),
        })
    }

    fn get_unchecked(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let Source { name, part } = (self.source)(name);
        let tensor = self.mapped.load(&name, device)?.to_dtype(dtype)?;
        let mut taken = self.taken.lock().unwrap_or_else(|error| error.into_inner());
        taken.insert(name);
        match part {
            Part::Whole => Ok(tensor),
            Part::Transposed => tensor.t()?.contiguous(),
            Part::Rows { index, count } => {
                let rows = tensor.dim(0)? / count;
                // A copy: a view would keep all the parts.
                tensor.narrow(0, index * rows, rows)?.force_contiguous()
            }
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.mapped.get(&(self.source)(name).name).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, names: &[&str]) {
        let tensor = |value: f32| Tensor::full(value, (4, 2), &Device::Cpu).unwrap();
        let tensors: HashMap<String, Tensor> = names
            .iter()
            .enumerate()
            .map(|(number, name)| ((*name).to_owned(), tensor(number as f32)))
            .collect();
        candle_core::safetensors::save(&tensors, path).unwrap();
    }

    #[test]
    fn several_files_are_read_as_one_by_their_index() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("m-1.safetensors"), &["a", "b"]);
        write(&folder.path().join("m-2.safetensors"), &["c"]);
        let index = folder.path().join("m.safetensors.index.json");
        let put = |map: &str| {
            std::fs::write(&index, format!("{{\"weight_map\": {map}}}")).unwrap();
            Checkpoint::open(folder.path(), "m")
        };
        let whole = r#"{"a": "m-1.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}"#;
        let checkpoint = put(whole).unwrap();
        let build = |names: &'static [&'static str]| {
            checkpoint.build(Layout::SAME, &Device::Cpu, |vb| {
                names
                    .iter()
                    .map(|name| vb.get((4, 2), name))
                    .collect::<candle_core::Result<Vec<_>>>()
            })
        };
        let error = build(&["a", "c"]).unwrap_err();
        assert!(
            matches!(&error, Error::UnknownWeights { keys, .. } if keys == &["b"]),
            "{error:?}"
        );
        assert_eq!(build(&["a", "b", "c"]).unwrap().len(), 3);
        let error = build(&["d"]).unwrap_err();
        assert!(
            matches!(&error, Error::MissingWeight { key, .. } if key == "d"),
            "{error:?}"
        );

        for map in [
            r#"{"a": "../m-1.safetensors"}"#,
            r#"{"a": "m-1.safetensors", "z": "m-2.safetensors"}"#,
        ] {
            let error = put(map).err().unwrap();
            assert!(matches!(error, Error::WeightIndex { .. }), "{error:?}");
        }
        write(&folder.path().join("m-4.safetensors"), &["c", "e"]);
        let twice = r#"{"c": "m-2.safetensors", "e": "m-4.safetensors"}"#;
        let error = put(twice).err().unwrap();
        assert!(matches!(error, Error::WeightIndex { .. }), "{error:?}");
        let error = put(r#"{"a": "m-3.safetensors"}"#).err().unwrap();
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        let error = put("3").err().unwrap();
        assert!(matches!(error, Error::ModelConfig { .. }), "{error:?}");
    }

    #[test]
    fn pickled_weights_are_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let error = Checkpoint::open(folder.path(), "model").err().unwrap();
        assert!(
            matches!(error, Error::NoWeights { pickled: false, .. }),
            "{error}"
        );
        std::fs::write(folder.path().join("pytorch_model.bin"), "x").unwrap();
        let error = Checkpoint::open(folder.path(), "model").err().unwrap();
        assert!(error.to_string().contains("pickle"), "{error}");
    }

    #[test]
    fn parts_of_a_tensor_are_found_under_their_own_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let values: Vec<f32> = (0..12).map(|it| it as f32).collect();
        let tensor = Tensor::from_vec(values, (6, 2), &Device::Cpu).unwrap();
        candle_core::safetensors::save(&HashMap::from([("qkv", tensor)]), &path).unwrap();
        let layout = Layout {
            source: |name| match name {
                "value" => Source::rows("qkv", 2, 3),
                "turned" => Source::transposed("qkv"),
                other => Source::whole(other),
            },
            ..Layout::SAME
        };
        let checkpoint = Checkpoint::open(folder.path(), "m").unwrap();
        let vb = checkpoint.builder(layout, &Device::Cpu);
        let value = vb.get((2, 2), "value").unwrap();
        assert_eq!(value.to_vec2::<f32>().unwrap(), [[8.0, 9.0], [10.0, 11.0]]);
        let turned = vb.get((2, 6), "turned").unwrap();
        assert_eq!(turned.to_vec2::<f32>().unwrap()[1][0], 1.0);
        assert!(vb.get((3, 2), "qkv").is_err());
        assert!(checkpoint.has("qkv") && checkpoint.has_below("qk") && !checkpoint.has_below("v"));
    }
}
