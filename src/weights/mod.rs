//! Weights in the safetensors format, read through a memory map. No other format is read: pickles run
//! code, and safetensors are plain numbers behind a checked header.
//!
//! One of the modules with `unsafe` that ARCHITECTURE.md names.

pub mod checkpoint;
pub mod layout;
pub mod open_clip;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use crate::error::{Error, Result};
use crate::files;

/// Maps the file at `path` and hands out its tensors by name, converted to `dtype`, on `device`.
///
/// The file is mapped for as long as the builder lives. It must not be changed in place meanwhile:
/// replace weights by renaming a new file over the old one, as the model store does. Tensors that were
/// taken from the builder are copies and do not depend on the file.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be opened, [`Error::LfsPointer`] if it only says where the weights would be,
/// [`Error::Weights`] if it is not in the format.
pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
    let mapped = map(&[path.to_owned()])?;
    Ok(VarBuilder::from_backend(
        Box::new(mapped),
        dtype,
        device.clone(),
    ))
}

/// Maps all of `paths`, whose tensors then count as those of one file.
fn map(paths: &[PathBuf]) -> Result<MmapedSafetensors> {
    for path in paths {
        // candle's own message about a file that is not there leaves out which file.
        files::open(path)?;
    }
    // SAFETY: mapping is sound as long as nobody writes to or truncates the file meanwhile, which no
    // process can rule out for others. The promise is kept by whoever places weights: the model store
    // (`models::source::part`), our trainer and the Hugging Face cache only ever rename whole files into place and
    // never write to one that has its final name, and the doc comment of `open` hands the promise on to those who
    // place files by hand. The bytes are read as plain numbers, of which every bit pattern is valid, after the
    // safetensors crate has checked the header's offsets against the length of the map.
    #[allow(unsafe_code)]
    let mapped = unsafe { MmapedSafetensors::multi(paths) };
    let first = paths.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    mapped.map_err(|source| failed(first, source))
}

/// All tensors of the file at `path` in single precision, on `device`.
///
/// # Errors
///
/// As for [`open`].
pub fn tensors(path: &Path, device: &Device) -> Result<HashMap<String, Tensor>> {
    let bytes = files::read(path)?;
    in_single_precision(&bytes, device).map_err(|source| failed(path, source))
}

/// All tensors of a file's bytes in single precision, on `device`.
pub(crate) fn in_single_precision(
    bytes: &[u8],
    device: &Device,
) -> candle_core::Result<HashMap<String, Tensor>> {
    let wide = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_dtype(DType::F32)?));
    let tensors = candle_core::safetensors::load_buffer(bytes, device)?;
    tensors.into_iter().map(wide).collect()
}

/// Turns candle's error about a tensor of the file at `path` into ours, which names the file, and the
/// key where it was missing.
pub fn failed(path: &Path, source: candle_core::Error) -> Error {
    match missing_key(&source) {
        Some(key) => Error::MissingWeight {
            path: path.to_owned(),
            key: key.to_owned(),
        },
        None => Error::Weights {
            path: path.to_owned(),
            source,
        },
    }
}

fn missing_key(error: &candle_core::Error) -> Option<&str> {
    use candle_core::Error as Candle;
    match error {
        Candle::CannotFindTensor { path } => Some(path),
        Candle::WithBacktrace { inner, .. } | Candle::WithPath { inner, .. } => missing_key(inner),
        Candle::Context { inner, .. } => missing_key(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_by_name_and_names_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let a = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        candle_core::safetensors::save(&HashMap::from([("layer.a", a)]), &path).unwrap();

        let weights = open(&path, DType::F32, &Device::Cpu).unwrap();
        let read = weights.pp("layer").get((2, 2), "a").unwrap();
        assert_eq!(read.to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, 4.0]]);

        let error = failed(&path, weights.pp("layer").get((2, 2), "b").unwrap_err());
        assert!(
            matches!(&error, Error::MissingWeight { key, .. } if key == "layer.b"),
            "{error:?}"
        );
        let error = failed(&path, weights.pp("layer").get((2, 3), "a").unwrap_err());
        assert!(matches!(error, Error::Weights { .. }), "{error:?}");
    }

    #[test]
    fn files_that_are_not_safetensors_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        assert!(matches!(
            open(&path, DType::F32, &Device::Cpu),
            Err(Error::Io { .. })
        ));
        for bytes in [
            &b""[..],
            b"\x80\x02}q\x00.",
            &[0xff; 64],
            b"\x02\0\0\0\0\0\0\0{}",
        ] {
            std::fs::write(&path, bytes).unwrap();
            match open(&path, DType::F32, &Device::Cpu) {
                Err(Error::Weights { .. }) => {}
                // The last is a valid file without tensors.
                Ok(weights) => assert!(weights.get(1, "a").is_err()),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}
