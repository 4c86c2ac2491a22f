//! Training on a folder of images.

use std::ffi::OsString;
use std::fs::DirEntry;
use std::io;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::SystemTime;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tempfile::TempDir;
use unprompt::Error;
use unprompt::data::pairs::Pairs;
use unprompt::data::source::Source;
use unprompt::dataset::manifest;
use unprompt::image::clip::ClipConfig;
use unprompt::image::encoders::EncoderConfig;
use unprompt::image::preprocess::Preprocess;
use unprompt::image::vit::VitConfig;
use unprompt::nn::mlp::Activation;
use unprompt::predictor::Predictor;
use unprompt::train::ensemble::EnsembleRecipe;
use unprompt::train::features::FeatureCache;
use unprompt::train::fit::FitOptions;
use unprompt::train::recipe::{Recipe, RecipeEvent};
use unprompt::train::set::{FolderSet, TrainingSet};
use unprompt::train::start::{Start, published};
use unprompt::train::targets::Targets;

use crate::dataset;
use crate::support::encoder;

fn recipe(data: &Path, out: &Path) -> Recipe {
    Recipe {
        encoder: EncoderConfig::Vit(VitConfig {
            image_size: 8,
            patch_size: 4,
            hidden_size: 8,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 16,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
        }),
        preprocess: Preprocess::symmetric(8),
        start: Start::Nothing,
        data: Source::Path(data.to_owned()),
        validation_prompts: 0,
        folder: out.to_owned(),
        features: None,
        resume: false,
        with_vocabulary: true,
        record_easiness: false,
        curriculum: None,
        command: "unprompt train".to_owned(),
        commit: "none".to_owned(),
        fit: FitOptions {
            epochs: 1,
            batch_size: 4,
            threads: 2,
            ..FitOptions::default()
        },
    }
}

fn run(recipe: &Recipe) -> Result<f64, Error> {
    let outcome = recipe.run(encoder(), &Device::Cpu, &mut |_| ControlFlow::Continue(()))?;
    Ok(outcome.best_score)
}

#[test]
fn a_model_is_trained_on_a_data_set_and_names_it() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset::write(data.path());
    run(&recipe(data.path(), out.path())).unwrap();

    let training = Pairs::open(&data.path().join("train")).unwrap();
    let model = Predictor::open(out.path().to_str().unwrap(), &Device::Cpu).unwrap();
    let predicted = model.predict(&[training.image(0).unwrap()]).unwrap();
    assert_eq!(predicted[0].embedding.len(), encoder().dim());
    assert!(!model.vocabulary().is_empty());

    let json = std::fs::read(out.path().join("provenance.json")).unwrap();
    let provenance: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(provenance["train_prompts"], 12);
    assert_eq!(provenance["validation_prompts"], 4);
    let sha256 = manifest::sha256(data.path()).unwrap().unwrap();
    assert_eq!(provenance["data"]["dataset_json_sha256"], sha256);
    assert_eq!(provenance["data"]["path"].as_str(), data.path().to_str());
}

#[test]
fn a_killed_run_goes_on_as_if_nothing_had_been() {
    let data = tempfile::tempdir().unwrap();
    dataset::write(data.path());
    let [whole, killed] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let recipe = |out: &Path, resume| {
        let mut recipe = recipe(data.path(), out);
        (recipe.resume, recipe.record_easiness) = (resume, true);
        (recipe.fit.epochs, recipe.fit.checkpoint_every) = (3, 2);
        recipe
    };
    run(&recipe(whole.path(), false)).unwrap();
    // An epoch has three steps. At the end of the second one weights, easiness and log are newer than the checkpoint of
    // step 4.
    let begun = recipe(killed.path(), false);
    let dies = || {
        begun.run(encoder(), &Device::Cpu, &mut |event| match event {
            RecipeEvent::Step(progress) if progress.step == 6 => panic!("killed"),
            _ => ControlFlow::Continue(()),
        })
    };
    std::panic::catch_unwind(AssertUnwindSafe(dies)).unwrap_err();
    let error = run(&recipe(killed.path(), false)).unwrap_err();
    assert!(matches!(error, Error::CheckpointExists { .. }), "{error}");
    run(&recipe(killed.path(), true)).unwrap();
    let read = |folder: &TempDir, name: &str| std::fs::read(folder.path().join(name)).unwrap();
    for name in [
        "model.safetensors",
        "easiness.safetensors",
        "checkpoint.safetensors",
    ] {
        assert!(read(&whole, name) == read(&killed, name), "{name}");
    }
    let steps = |folder: &TempDir| {
        let text = String::from_utf8(read(folder, "training.csv")).unwrap();
        let steps = text
            .lines()
            .map(|line| line.split_once(',').unwrap().0.to_owned());
        steps.collect::<Vec<_>>()
    };
    assert_eq!(steps(&whole), steps(&killed));
}

/// Names, lengths and times of the files of a folder.
fn files(folder: &Path) -> Vec<(OsString, u64, SystemTime)> {
    let file = |entry: io::Result<DirEntry>| {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        (
            entry.file_name(),
            metadata.len(),
            metadata.modified().unwrap(),
        )
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(file).collect();
    files.sort();
    files
}

#[test]
fn what_a_frozen_tower_makes_is_kept_for_other_runs() {
    let data = tempfile::tempdir().unwrap();
    dataset::write(data.path());
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published/clip");
    let (encoder, preprocess) = published(&clip).unwrap();
    let EncoderConfig::Clip(encoder) = encoder else {
        panic!("{encoder:?}");
    };
    let cache = tempfile::tempdir().unwrap();
    let train = |features: bool, seed: u64, width: usize| {
        let out = tempfile::tempdir().unwrap();
        let mut recipe = recipe(data.path(), out.path());
        recipe.encoder = EncoderConfig::Clip(ClipConfig {
            trunk_widths: vec![width],
            ..encoder.clone()
        });
        recipe.preprocess = preprocess.clone();
        recipe.start = Start::Published {
            folder: clip.clone(),
        };
        (recipe.fit.epochs, recipe.fit.seed) = (2, seed);
        recipe.features = features.then(|| FeatureCache {
            folder: cache.path().to_owned(),
            max_bytes: 1 << 20,
        });
        run(&recipe).unwrap()
    };
    let first = train(true, 1, 16);
    let made = files(cache.path());
    // Twelve and four images; a row is a checksum and the tower's 16 values.
    let mut lengths: Vec<u64> = made.iter().map(|(_, length, _)| *length).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [24 + 4 * (8 + 16 * 4), 24 + 12 * (8 + 16 * 4)]);
    // Nothing was made again, for another perceptron either.
    train(true, 2, 32);
    assert_eq!(files(cache.path()), made);
    // In a batch the last digits of a tower's output may be others.
    assert!((train(false, 1, 16) - first).abs() < 1e-4);
}

#[test]
fn a_model_is_not_written_over() {
    let data = tempfile::tempdir().unwrap();
    dataset::write(data.path());
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("ensemble.json"), "{}").unwrap();
    for resume in [false, true] {
        let mut recipe = recipe(data.path(), out.path());
        recipe.resume = resume;
        let error = run(&recipe).unwrap_err();
        assert!(matches!(error, Error::Occupied { .. }), "{error}");
    }
}

#[test]
fn a_model_goes_on_from_another_with_a_new_vocabulary_head() {
    let data = tempfile::tempdir().unwrap();
    dataset::write(data.path());
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let with_rate = |out: &Path, seed, learning_rate| {
        let mut recipe = recipe(data.path(), out);
        recipe.fit.seed = seed;
        recipe.fit.learning_rate = learning_rate;
        recipe.fit.min_learning_rate = learning_rate;
        recipe
    };
    run(&with_rate(first.path(), 1, 1e-3)).unwrap();
    let start = Start::Predictor {
        model: first.path().to_str().unwrap().to_owned(),
    };
    let next = Recipe {
        start,
        ..with_rate(second.path(), 2, 0.0)
    };
    run(&next).unwrap();

    let [first, second] = [&first, &second].map(|folder| {
        let path = folder.path().join("model.safetensors");
        candle_core::safetensors::load(path, &Device::Cpu).unwrap()
    });
    assert_eq!(first.len(), second.len());
    for (name, tensor) in &first {
        let values = |it: &Tensor| -> Vec<f32> {
            let single = it.to_dtype(DType::F32).unwrap();
            single.flatten_all().unwrap().to_vec1().unwrap()
        };
        let same = values(tensor) == values(&second[name]);
        assert_eq!(same, !name.starts_with("heads.words."), "{name}");
    }
}

#[test]
fn models_come_together_by_the_validation_side_of_a_folder() {
    let data = tempfile::tempdir().unwrap();
    dataset::write(data.path());
    let folder = tempfile::tempdir().unwrap();
    let models = ["without-words", "with-words"].map(|name| folder.path().join(name));
    for (seed, model) in models.iter().enumerate() {
        let mut recipe = recipe(data.path(), model);
        recipe.fit.seed = seed as u64;
        recipe.with_vocabulary = seed == 1;
        run(&recipe).unwrap();
    }
    let ensemble = EnsembleRecipe {
        models: models
            .map(|model| model.to_str().unwrap().to_owned())
            .into(),
        data: Source::Path(data.path().to_owned()),
        images: 3,
        seed: 1,
        folder: folder.path().join("both"),
    };
    let mut seen = (0, 0);
    let fit = ensemble
        .run(encoder(), &Device::Cpu, &mut |done, total| {
            seen = (done, total);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, (6, 6), "two models, three images each");
    let weights: f64 = fit.members.iter().map(|(_, weight, _)| weight).sum();
    assert!((weights - 1.0).abs() < 1e-9, "{fit:?}");
    let alone = fit.members.iter().map(|&(_, _, cosine)| cosine);
    assert!(fit.cosine >= alone.fold(0.0, f64::max) - 1e-6, "{fit:?}");
}

#[test]
fn a_model_of_another_encoder_is_refused() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset::write(data.path());
    let start = Start::Predictor {
        model: "vit".to_owned(),
    };
    let other = Recipe {
        start,
        ..recipe(data.path(), out.path())
    };
    let error = run(&other).unwrap_err();
    assert!(matches!(error, Error::OtherNetwork { .. }), "{error}");
    let own = Recipe {
        start: Start::Predictor {
            model: out.path().to_str().unwrap().to_owned(),
        },
        ..recipe(data.path(), out.path())
    };
    let error = run(&own).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
}

#[test]
fn a_folder_without_images_is_refused() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let error = run(&recipe(data.path(), out.path())).unwrap_err();
    assert!(matches!(error, Error::NoZippedParts { .. }), "{error}");
}

#[test]
fn images_are_the_same_whether_kept_or_read_anew() {
    let data = tempfile::tempdir().unwrap();
    dataset::write(data.path());
    let pairs = Pairs::open(&data.path().join("train")).unwrap();
    let set = |room_bytes| {
        let targets = Targets::new(vec![0.0; pairs.len()], vec![vec![]; pairs.len()]);
        FolderSet::new(pairs.clone(), targets, Preprocess::symmetric(8), room_bytes)
    };
    // Three images of 8 x 8 fit.
    let (all, few) = (set(1 << 20), set(3 * 8 * 8 * 3 + 5));
    let mut distinct = vec![];
    for epoch in 0..2 {
        for index in 0..pairs.len() {
            let image = all.image(index, epoch).unwrap();
            assert_eq!(image.dimensions(), (8, 8));
            assert_eq!(image, few.image(index, epoch).unwrap());
            distinct.push(image.into_raw());
        }
    }
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), pairs.len());

    std::fs::remove_dir_all(data.path().join("train")).unwrap();
    assert!(all.image(11, 2).is_ok(), "was kept");
}
