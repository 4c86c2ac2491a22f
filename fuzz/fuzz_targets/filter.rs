#![no_main]
//! Filters that parse are also answered, by a small index.

use std::ops::ControlFlow;
use std::sync::OnceLock;

use unprompt_index::{BuildOptions, Encoder, ImageRecord, Index, VectorOptions, Writer, fuzzing};

static INDEX: OnceLock<Index> = OnceLock::new();

fn index() -> Index {
    let folder = tempfile::tempdir().unwrap();
    let encoder = Encoder {
        name: "fuzz".into(),
        digest: "1".into(),
        dim: 2,
    };
    let dir = folder.path().join("index");
    let mut writer = Writer::create(&dir, encoder, BuildOptions::default()).unwrap();
    for i in 0..300u32 {
        let angle = i as f32;
        let image = |j: u32| ImageRecord {
            image_name: format!("{i}-{j}"),
            part_id: Some(i % 4),
            seed: (j > 0).then_some(u64::from(i * j)),
            cfg: Some(i as f32 / 8.0),
            sampler: Some(["k_lms", "ddim"][j as usize % 2].into()),
            model: (j > 0).then(|| format!("Model {}", i % 5)),
            timestamp: Some(i64::from(i) * 1_000_000_000),
            ..ImageRecord::default()
        };
        let prompt = format!("a {} fox number {i}", ["red", "grey"][i as usize % 2]);
        let images = (0..i % 4).map(image).collect();
        writer
            .push(&prompt, &[angle.cos(), angle.sin()], images)
            .unwrap();
    }
    writer.commit(&mut |_| ControlFlow::Continue(())).unwrap();
    // Its files are mapped, so that they may go.
    Index::open(&dir).unwrap()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(filter) = fuzzing::filter(bytes) {
        let options = VectorOptions {
            exact: true,
            ..VectorOptions::default()
        };
        let index = INDEX.get_or_init(index);
        let found = index.vector_search(&[1.0, 0.0], &options, Some(&filter));
        if let Err(error) = found {
            assert!(error.to_string().starts_with("filter refused"), "{error}");
        }
    }
});
