//! The store against servers and programs of its own: nothing here leaves the machine.

mod folders;
mod hub;
#[cfg(unix)]
mod pip;
mod repository;
mod server;

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::catalogue::Wheel;
use super::*;
use server::{Reply, Server};

const NAME: &str = "fake-model";

fn weights() -> Vec<u8> {
    (0..700_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn config() -> Vec<u8> {
    b"{\"fake\": true}".to_vec()
}

fn content(path: &str) -> Vec<u8> {
    if path.ends_with("config.json") {
        config()
    } else {
        weights()
    }
}

fn sha256(bytes: &[u8]) -> &'static str {
    digest::of_reader(bytes).unwrap().finish().leak()
}

fn model() -> &'static [Model] {
    let file = |name: &'static str, bytes: &[u8]| ModelFile {
        name,
        size_bytes: bytes.len() as u64,
        sha256: sha256(bytes),
    };
    let files = vec![
        file("config.json", &config()),
        file("weights.bin", &weights()),
    ];
    vec![Model {
        name: NAME,
        purpose: "tests",
        license: "MIT",
        repo: "some/fake-model",
        revision: "0123456789012345678901234567890123456789",
        files: files.leak(),
        wheel: Some(Wheel {
            package: "fake-wheel",
            version: "1.0",
            folder: "fake_wheel/model",
            size_bytes: 1000,
        }),
    }]
    .leak()
}

/// Short where a test waits for the end of it, long where a busy machine must not matter.
fn timeouts(each: Duration) -> HubTimeouts {
    HubTimeouts {
        connect: each,
        response: each,
        stall: each,
    }
}

fn store(folder: &Path) -> ModelStore {
    let mut store = ModelStore::new([folder]).unwrap();
    store.catalogue = model();
    store
}

fn store_with_hub(folder: &Path, server: &Server) -> ModelStore {
    store_with_hub_within(folder, server, Duration::from_secs(15))
}

fn store_with_hub_within(folder: &Path, server: &Server, each: Duration) -> ModelStore {
    let mut store = store(folder);
    let hub = Hub::new(&server.url, Some("secret".to_owned()), timeouts(each));
    store.sources.push(Box::new(hub));
    store
}

fn place_by_hand(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), config()).unwrap();
    fs::write(folder.join("weights.bin"), weights()).unwrap();
}

fn assert_whole(files: &ModelFiles) {
    assert_eq!(
        fs::read(files.path("config.json").unwrap()).unwrap(),
        config()
    );
    assert_eq!(
        fs::read(files.path("weights.bin").unwrap()).unwrap(),
        weights()
    );
    assert!(!files.dir().join("weights.bin.part").exists());
}

/// Counts what it hears.
#[derive(Default)]
struct Heard {
    begun: Vec<(String, Option<u64>)>,
    bytes: u64,
    open: i32,
}

impl Progress for Heard {
    fn begin(&mut self, what: &str, total_bytes: Option<u64>) {
        self.begun.push((what.to_owned(), total_bytes));
        self.bytes = 0;
        self.open += 1;
    }

    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    fn finish(&mut self) {
        self.open -= 1;
    }
}
