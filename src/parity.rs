//! What tests compare with the reference implementations: small checkpoints in the published layouts and
//! the outputs of the packages that publish them, made by `tests/published/make.py`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::de::DeserializeOwned;

use crate::device::DeviceChoice;
use crate::weights::checkpoint::Checkpoint;
use crate::weights::layout::Layout;
use crate::weights::tensors;

/// The largest difference that is allowed, over the largest number.
const TOLERANCE: f64 = 1e-4;

/// Names the device that what is read here is on, and with it the networks that are compared: the CPU unless
/// it is set.
const DEVICE: &str = "UNPROMPT_TEST_DEVICE";

/// Where what is compared is computed: one device, since tensors of two that were opened are strangers even if
/// the processor is the same.
pub(crate) fn device() -> Device {
    static OPENED: LazyLock<Device> = LazyLock::new(|| match std::env::var(DEVICE) {
        Ok(name) => name.parse::<DeviceChoice>().unwrap().open().unwrap(),
        Err(_) => Device::Cpu,
    });
    OPENED.clone()
}

/// A checkpoint and what the reference makes of it.
pub(crate) struct Fixture {
    folder: PathBuf,
    expected: HashMap<String, Tensor>,
}

impl Fixture {
    /// The fixture of this name.
    pub(crate) fn open(name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published");
        let folder = root.join(name);
        let expected = tensors(&folder.join("expected.safetensors"), &device()).unwrap();
        Self { folder, expected }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a JSON file says.
    pub(crate) fn json<T: DeserializeOwned>(&self, file: &str) -> T {
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// A network of the weights whose files begin with `stem`, all of which must be used.
    pub(crate) fn build<T>(
        &self,
        stem: &str,
        layout: Layout,
        build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<T>,
    ) -> T {
        let (folder, stem) = match stem.rsplit_once('/') {
            Some((below, stem)) => (self.folder.join(below), stem),
            None => (self.folder.clone(), stem),
        };
        let checkpoint = Checkpoint::open(&folder, stem).unwrap();
        checkpoint.build(layout, &device(), build).unwrap()
    }

    /// An input or output of the reference; whole numbers as `f32`.
    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        let found = self.expected.get(name);
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    }

    /// Token numbers.
    pub(crate) fn ids(&self, name: &str) -> Tensor {
        self.tensor(name).to_dtype(DType::U32).unwrap()
    }

    /// Names of all that begins so.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let names = self.expected.keys();
        let mut names: Vec<String> = names.filter(|it| it.starts_with(prefix)).cloned().collect();
        names.sort();
        names
    }

    /// Fails unless `found` is the reference's output `name`.
    pub(crate) fn compare(&self, name: &str, found: &Tensor) {
        self.compare_with(name, found, Tensor::clone);
    }

    /// Fails unless `found` is what `then` makes of the reference's output `name`.
    pub(crate) fn compare_with(&self, name: &str, found: &Tensor, then: fn(&Tensor) -> Tensor) {
        let expected = then(&self.tensor(name));
        assert_eq!(found.dims(), expected.dims(), "{name}");
        let largest = |tensor: &Tensor| -> f64 {
            let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
            assert!(values.iter().all(|value| value.is_finite()), "{name}");
            values
                .iter()
                .fold(0.0, |most, value| most.max(f64::from(value.abs())))
        };
        let (error, scale) = (largest(&(found - &expected).unwrap()), largest(&expected));
        // `--nocapture` shows how close it is.
        println!("{}, {name}: {:.1e}", self.folder.display(), error / scale);
        assert!(error <= TOLERANCE * scale, "{name}: {error:e} of {scale:e}");
    }
}
