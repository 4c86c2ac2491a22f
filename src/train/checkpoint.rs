//! Checkpoints: the whole state of a run in one safetensors file, replaced atomically.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::SafeTensorError;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub use crate::files::write_atomically;
use crate::files::write_atomically_by;

/// A checkpoint in the folder of its run.
pub(super) const FILE: &str = "checkpoint.safetensors";

const STATE_KEY: &str = "unprompt.run";

/// Settings that are told of another run.
const MAX_TOLD: usize = 6;

/// Where a run stands, besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Steps done.
    pub step: usize,
    /// Best validation score so far.
    pub best_score: Option<f64>,
    /// The epoch that it was reached in.
    pub best_epoch: usize,
    /// What the run was started with; a checkpoint of another run is refused.
    pub fingerprint: String,
}

/// Writes tensors with string metadata to `path`: temporary file, sync, rename.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written.
pub fn write_tensors(
    path: &Path,
    tensors: &HashMap<String, Tensor>,
    metadata: HashMap<String, String>,
) -> Result<()> {
    // Tensor by tensor: a second copy of all of them may be gigabytes.
    write_atomically_by(path, |unfinished| {
        let written = safetensors::serialize_to_file(tensors, Some(metadata), unfinished);
        written.map_err(|error| match error {
            SafeTensorError::IoError(source) => Error::io("write", path)(source),
            other => Error::Tensor(candle_core::Error::wrap(other)),
        })
    })
}

/// Saves the run: its tensors and where it stands.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written.
pub fn save(path: &Path, tensors: &HashMap<String, Tensor>, state: &RunState) -> Result<()> {
    let json = serde_json::to_string(state).map_err(|source| Error::ModelConfig {
        path: path.to_owned(),
        source,
    })?;
    write_tensors(path, tensors, HashMap::from([(STATE_KEY.to_owned(), json)]))
}

/// The settings in which two fingerprints differ.
fn differing(a: &str, b: &str) -> (String, String) {
    let settings = |text: &str| -> Vec<String> {
        let settings = text.split([',', ';', '\n']).map(str::trim);
        settings.map(str::to_owned).collect()
    };
    let (a, b) = (settings(a), settings(b));
    let same_at_start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same_at_start..], &b[same_at_start..]);
    let backwards = a.iter().rev().zip(b.iter().rev());
    let same_at_end = backwards.take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - same_at_end], &b[..b.len() - same_at_end]);
    let differ = |own: &[String], other: &[String]| -> String {
        let differ = own.iter().enumerate();
        let differ = differ.filter(|(at, it)| a.len() != b.len() || other[*at] != **it);
        let settings: Vec<&str> = differ.take(MAX_TOLD).map(|(_, it)| it.as_str()).collect();
        settings.join(", ")
    };
    (differ(a, b), differ(b, a))
}

/// A saved run; `None` if there is none.
///
/// # Errors
/// [`Error::Weights`] if the file is damaged, [`Error::OtherRun`] if its fingerprint is not that of
/// `start`.
pub fn load(
    path: &Path,
    start: &RunState,
    device: &Device,
) -> Result<Option<(RunState, HashMap<String, Tensor>)>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let damaged = |source| Error::Weights {
        path: path.to_owned(),
        source,
    };
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
        .map_err(|error| damaged(candle_core::Error::wrap(error)))?;
    let json = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(STATE_KEY));
    let json = json.map(String::as_str).unwrap_or_default();
    let state: RunState = serde_json::from_str(json).map_err(|source| Error::ModelConfig {
        path: path.to_owned(),
        source,
    })?;
    if state.fingerprint != start.fingerprint {
        let (expected, found) = differing(&start.fingerprint, &state.fingerprint);
        return Err(Error::OtherRun {
            path: path.to_owned(),
            expected,
            found,
        });
    }
    let tensors = candle_core::safetensors::load_buffer(&bytes, device).map_err(damaged)?;
    Ok(Some((state, tensors)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights;

    #[test]
    fn what_is_written_can_be_read_as_any_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["a.safetensors", "other"].map(|name| folder.path().join(name));
        let tensors = |value: f32| {
            let tensor = Tensor::new(&[value, 2.0], &Device::Cpu).unwrap();
            HashMap::from([("a".to_owned(), tensor)])
        };
        write_tensors(&path, &tensors(1.0), HashMap::new()).unwrap();
        write_tensors(&path, &tensors(3.0), HashMap::new()).unwrap();
        let read = weights::tensors(&path, &Device::Cpu).unwrap();
        assert_eq!(read["a"].to_vec1::<f32>().unwrap(), [3.0, 2.0]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_atomically(&other, b"").unwrap();
        let permissions = |path| fs::metadata(path).unwrap().permissions();
        assert_eq!(permissions(&path), permissions(&other));
    }

    #[test]
    fn other_runs_are_told_by_what_differs() {
        let both = |a: &str, b: &str| {
            let (a, b) = differing(a, b);
            [a, b]
        };
        let told = both(
            "{\n\"x\": 1,\n}; epochs: 1, rate: 2, seed: 3",
            "{\n\"x\": 1,\n}; epochs: 4, rate: 2, seed: 5",
        );
        assert_eq!(told, ["epochs: 1, seed: 3", "epochs: 4, seed: 5"]);
        assert_eq!(both("a, b, c", "a, x, y, c"), ["b", "x, y"]);
        assert_eq!(both("a", "a, b"), ["", "b"]);
    }
}
