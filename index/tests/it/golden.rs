//! An index as each version of the format wrote it, kept in `tests/data/format_v<N>` and opened for ever.
//!
//! The newest was written by [`write_the_golden_folder`] and is never written again: a change of
//! the format that these tests do not survive needs a new version, and a new folder beside it.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unprompt_index::{
    BuildOptions, Deletion, Filter, ImageRecord, Index, KeywordQuery, PromptId, SearchRequest,
    VectorOptions, Writer, check, delete,
};

use crate::util::{copy, encoder, image};

const NEWEST: u32 = 4;

/// Numbers of a vector: from version 3 on enough of them for codes, and from 4 on for f16.
fn dim(version: u32) -> usize {
    if version < 3 { 4 } else { 70 }
}

fn folder(version: u32) -> PathBuf {
    let name = format!("tests/data/format_v{version}");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn at(version: u32, degrees: f32) -> Vec<f32> {
    let mut vector = vec![0.0; dim(version)];
    (vector[1], vector[0]) = degrees.to_radians().sin_cos();
    vector
}

/// An image of which everything is known that a version of the format keeps.
fn full(version: u32, name: &str) -> ImageRecord {
    let since_2 = if version < 2 {
        image(name)
    } else {
        ImageRecord {
            model: Some("DreamShaper_8".into()),
            generator: Some("comfyui".into()),
            file_size: Some(u64::MAX),
            predicted: Some(0.75),
            ..image(name)
        }
    };
    ImageRecord {
        part_id: Some(7),
        seed: Some(u64::MAX),
        step: Some(50),
        cfg: Some(7.1),
        sampler: Some("k_lms".into()),
        width: Some(512),
        height: Some(768),
        image_nsfw: Some(0.25),
        prompt_nsfw: Some(0.125),
        timestamp: Some(1_660_977_360_000),
        ..since_2
    }
}

/// First build: prompts, angles and images.
fn first(version: u32) -> Vec<(String, f32, Vec<ImageRecord>)> {
    let more = |i: u16| (format!("study number {i}"), 90.0 + f32::from(i), vec![]);
    let mut all = vec![
        (
            "a red fox in the snow".to_owned(),
            0.0,
            vec![full(version, "fox.png"), image("fox 2.png")],
        ),
        ("an owl at dusk".to_owned(), 20.0, vec![image("owl.png")]),
        (
            "caf\u{e9} \u{96ea}\u{306e}\u{4e2d} \u{1f98a}".to_owned(),
            40.0,
            vec![],
        ),
        (
            "what will be deleted".to_owned(),
            60.0,
            vec![image("gone.png")],
        ),
    ];
    all.extend((0..40).map(more));
    all
}

#[test]
#[ignore = "writes the folder that the other test opens; run once for each format version"]
fn write_the_golden_folder() {
    let dir = folder(NEWEST);
    assert!(!dir.exists(), "a golden folder is never written again");
    let options = BuildOptions {
        m: 2,
        ef_construction: 8,
        threads: 1,
        ..BuildOptions::default()
    };
    let go_on = &mut |_| ControlFlow::Continue(());
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    let mut writer = Writer::create(&dir, encoder(dim(NEWEST)), options).unwrap();
    for (prompt, degrees, images) in first(NEWEST) {
        writer.push(&prompt, &at(NEWEST, degrees), images).unwrap();
    }
    writer.commit(go_on).unwrap();
    let mut writer = Writer::open(&dir, options).unwrap();
    writer
        .push(
            "a lighthouse in a storm",
            &at(NEWEST, 10.0),
            vec![full(NEWEST, "light.png")],
        )
        .unwrap();
    writer
        .push(
            "an owl at dusk",
            &at(NEWEST, 20.0),
            vec![image("owl 2.png")],
        )
        .unwrap();
    writer.commit(go_on).unwrap();
    let gone = Deletion::Prompts(vec![PromptId::of("what will be deleted")]);
    delete(&dir, &gone).unwrap();
    let gone = Filter::parse("image_name:\"fox 2.png\"").unwrap();
    delete(&dir, &Deletion::Matching(gone)).unwrap();
}

fn opens_and_answers(version: u32) {
    let dir = folder(version);
    let index = Index::open(&dir).unwrap();
    assert!(check(&dir).unwrap().damaged.is_empty());
    let stats = index.stats().unwrap();
    assert_eq!((stats.prompts, stats.images, stats.segments), (44, 4, 2));
    assert_eq!((stats.deleted_prompts, stats.deleted_images), (2, 3));
    assert_eq!(
        (stats.generation, &stats.encoder),
        (4, &encoder(dim(version)))
    );
    let images = |prompt: &str| {
        let entry = index.find(&PromptId::of(prompt)).unwrap()?;
        Some(index.images(entry, None, 9).unwrap().0)
    };
    assert_eq!(
        images("a red fox in the snow"),
        Some(vec![full(version, "fox.png")])
    );
    let owls = vec![image("owl.png"), image("owl 2.png")];
    assert_eq!(images("an owl at dusk"), Some(owls));
    assert_eq!(images("what will be deleted"), None);
    for (prompt, degrees, _) in first(version) {
        if let Some(entry) = index.find(&PromptId::of(&prompt)).unwrap() {
            assert_eq!(index.prompt(entry).unwrap(), prompt);
            let vector = index.vector(entry).unwrap();
            // Rounded since version 4: numbers up to 1 are half of 2^-11 off at most.
            let off = if version < 4 { 0.0 } else { 0.5f32.powi(12) };
            for (found, given) in vector.iter().zip(at(version, degrees)) {
                assert!((found - given).abs() <= off, "{prompt}: {found}, {given}");
            }
        }
    }
    let prompts = |request: &SearchRequest| -> Vec<String> {
        let hits = index.search(request).unwrap();
        hits.into_iter().map(|hit| hit.prompt).collect()
    };
    let near = SearchRequest {
        vector: Some(at(version, 8.0)),
        k: 3,
        ..SearchRequest::default()
    };
    let expected = [
        "a lighthouse in a storm",
        "a red fox in the snow",
        "an owl at dusk",
    ];
    assert_eq!(prompts(&near), expected);
    let options = VectorOptions {
        k: 44,
        ..VectorOptions::default()
    };
    let walked = index
        .vector_search(&at(version, 8.0), &options, None)
        .unwrap();
    assert_eq!(walked.len(), 44, "every node is reached");
    let worded = SearchRequest {
        keywords: Some(KeywordQuery::Text("Owls, or a lighthouse; cafe".into())),
        filter: Some(Filter::parse("cfg:7.1 OR image_name:\"owl 2.png\"").unwrap()),
        ..SearchRequest::default()
    };
    assert_eq!(
        prompts(&worded),
        [
            "a lighthouse in a storm",
            "an owl at dusk",
            "a red fox in the snow"
        ]
    );
}

/// What one program has begun, a newer one goes on with: segments of both versions stand side by side, and
/// in one after compacting.
fn can_be_changed(version: u32) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("index");
    copy(&folder(version), &dir);
    let mut writer = Writer::open(&dir, BuildOptions::default()).unwrap();
    let new = vec![full(NEWEST, "new.png")];
    writer
        .push("a new one", &at(version, 5.0), new.clone())
        .unwrap();
    writer.commit(&mut |_| ControlFlow::Continue(())).unwrap();
    finds_what_is_new(&dir, version, &new);
    let stats = crate::util::compacted(&dir);
    assert_eq!((stats.prompts, stats.images, stats.segments), (45, 5, 1));
    assert!(check(&dir).unwrap().damaged.is_empty());
    finds_what_is_new(&dir, version, &new);
}

/// Columns that a segment does not have hold nothing there; all others are found in both.
fn finds_what_is_new(dir: &Path, version: u32, new: &[ImageRecord]) {
    let index = Index::open(dir).unwrap();
    let entry = index.find(&PromptId::of("a new one")).unwrap().unwrap();
    assert_eq!(index.images(entry, None, 9).unwrap().0, new);
    let count = |filter: &str| {
        let filter = Some(Filter::parse(filter).unwrap());
        let request = SearchRequest {
            vector: Some(at(version, 5.0)),
            filter,
            k: 99,
            ..SearchRequest::default()
        };
        index.search(&request).unwrap().len()
    };
    let full = 3;
    assert_eq!(count("sampler:k_lms"), full);
    let anew = version >= 2 || index.stats().unwrap().segments == 1;
    assert_eq!(count("sampler:K_LMS"), if anew { full } else { 1 });
    for filter in ["model:dreamshaper*", "model:*", "generator:ComfyUI"] {
        assert_eq!(
            count(filter),
            if version < 2 { 1 } else { full },
            "{filter}"
        );
    }
}

#[test]
fn every_version_opens_and_answers() {
    (1..=NEWEST).for_each(opens_and_answers);
}

#[test]
fn compacting_writes_old_segments_anew() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("index");
    copy(&folder(1), &dir);
    let generation = || Index::open(&dir).unwrap().stats().unwrap().generation;
    crate::util::compacted(&dir);
    let once = generation();
    crate::util::compacted(&dir);
    assert_eq!(generation(), once, "there is nothing left to do");
    let there = |prompt: &str| {
        let index = Index::open(&dir).unwrap();
        index.find(&PromptId::of(prompt)).unwrap().is_some()
    };
    assert!(there("an owl at dusk"));
    let mut writer = Writer::open(&dir, BuildOptions::default()).unwrap();
    for name in ["fox.png", "owl.png", "owl 2.png", "light.png"] {
        assert_eq!(writer.remove_images(name).unwrap(), 1);
    }
    writer.commit(&mut |_| ControlFlow::Continue(())).unwrap();
    assert!(!there("an owl at dusk"), "it was known by its images");
    assert!(there("study number 1"), "it was known by itself");
}

#[test]
fn every_version_can_be_changed() {
    (1..=NEWEST).for_each(can_be_changed);
}
