//! What several tests share.

use std::path::PathBuf;
use std::sync::OnceLock;

use unprompt::device::DeviceChoice;
use unprompt::matmul::Precision;
use unprompt::models::ModelStore;
use unprompt::text::SentenceEncoder;

/// A file below `tests/fixtures`.
pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path)
}

/// The sentence encoder on the CPU, loaded once a process and fetched once a machine.
pub(crate) fn encoder() -> &'static SentenceEncoder {
    static ENCODER: OnceLock<SentenceEncoder> = OnceLock::new();
    ENCODER.get_or_init(new_encoder)
}

/// Another one, to be owned.
pub(crate) fn new_encoder() -> SentenceEncoder {
    let store = ModelStore::from_env().expect("a folder for models");
    let files = match store.pull("all-MiniLM-L6-v2", &mut ()) {
        Ok(files) => files,
        Err(error) => panic!("{error}"),
    };
    let device = DeviceChoice::Cpu.open().expect("the cpu");
    SentenceEncoder::load(&files, &device, Precision::Full).expect("the encoder")
}

/// The cosine of two vectors of whatever length.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
