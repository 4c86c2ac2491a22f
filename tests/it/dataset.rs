//! Data sets of images that a diffusion model made: written, read back, gone on with.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::Serialize;
use tempfile::TempDir;
use unprompt::Error;
use unprompt::data::read::{ReadOptions, read};
use unprompt::data::row::Row;
use unprompt::dataset::DatasetRecipe;
use unprompt::dataset::draw::Draws;
use unprompt::diffusion::schedule::ScheduleConfig;
use unprompt::diffusion::text_to_image::{ModelIndex, TextToImage, files};
use unprompt::diffusion::unet::UNet;
use unprompt::diffusion::unet::config::{DownBlockType, PerLevel, UNetConfig, UpBlockType};
use unprompt::diffusion::vae::CodecConfig;
use unprompt::diffusion::vae::autoencoder::{AutoencoderConfig, AutoencoderKl};
use unprompt::pocket::Split;
use unprompt::train::checkpoint::write_tensors;
use unprompt::train::parameters::Parameters;
use unprompt_index::ImageRecord;

use crate::support::encoder;

/// Width and height of the images in pixels.
const SIDE: u32 = 16;

/// Writes a diffusion model that has learnt nothing.
fn write_model(folder: &Path) {
    let autoencoder = AutoencoderConfig {
        latent_channels: 4,
        block_out_channels: vec![8, 8],
        norm_num_groups: 4,
        ..AutoencoderConfig::pocket()
    };
    let unet = UNetConfig {
        sample_size: 8,
        down_block_types: vec![DownBlockType::Plain, DownBlockType::CrossAttention],
        up_block_types: vec![UpBlockType::CrossAttention, UpBlockType::Plain],
        block_out_channels: vec![8, 16],
        attention_head_dim: PerLevel::Same(2),
        norm_num_groups: 4,
        ..UNetConfig::pocket(4, encoder().dim())
    };
    let index = ModelIndex {
        sentence_encoder: encoder().identity().clone(),
    };
    let vae = CodecConfig::AutoencoderKl(autoencoder.clone());
    write_json(&folder.join(files::INDEX), &index);
    write_json(&folder.join(files::UNET_CONFIG), &unet);
    write_json(&folder.join(files::VAE_CONFIG), &vae);
    write_json(
        &folder.join(files::SCHEDULER_CONFIG),
        &ScheduleConfig::pocket(),
    );
    let weights = |file: &str, parameters: &Parameters| {
        let halves = parameters.halves().unwrap();
        write_tensors(&folder.join(file), &halves, HashMap::new()).unwrap();
    };
    let (of_vae, of_unet) = (Parameters::new(1), Parameters::new(2));
    AutoencoderKl::new(&autoencoder, &of_vae.builder(&Device::Cpu)).unwrap();
    UNet::new(&unet, &of_unet.builder(&Device::Cpu)).unwrap();
    weights(files::VAE_WEIGHTS, &of_vae);
    weights(files::UNET_WEIGHTS, &of_unet);
}

fn write_json(path: &Path, value: &impl Serialize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_vec(value).unwrap()).unwrap();
}

/// Twelve, four and four images in parts of five.
fn recipe(folder: &Path) -> DatasetRecipe {
    DatasetRecipe {
        folder: folder.to_owned(),
        train: 12,
        validation: 4,
        test: 4,
        seed: 3,
        images_per_part: 5,
        model: "tiny".to_owned(),
        command: "unprompt dataset".to_owned(),
        commit: "none".to_owned(),
    }
}

/// The model, in a folder that is removed with the first value.
fn model() -> (TempDir, TextToImage) {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let model = TextToImage::open(folder.path().to_str().unwrap(), &Device::Cpu).unwrap();
    (folder, model)
}

/// Writes the data set of [`recipe`] to `folder`.
pub(crate) fn write(folder: &Path) {
    let (_folder, model) = model();
    run(&recipe(folder), &model).unwrap();
}

/// How many images `observe` was told of.
fn run(recipe: &DatasetRecipe, model: &TextToImage) -> Result<usize, Error> {
    let mut told = 0;
    recipe.run(model, encoder(), &mut |done, total| {
        assert!(told <= done && done <= total, "{told}, {done}, {total}");
        told = done;
        ControlFlow::Continue(())
    })?;
    Ok(told)
}

/// Every file below `folder`, with what it holds.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

/// [`contents`] with paths from `folder`.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let relative = |path: PathBuf| path.strip_prefix(folder).unwrap().to_owned();
    let files = contents(folder).into_iter();
    files.map(|(path, bytes)| (relative(path), bytes)).collect()
}

fn rows(source: &Path) -> Vec<Row> {
    let mut rows = vec![];
    let summary = read(source, &ReadOptions::default(), &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    let summary = summary.unwrap();
    assert_eq!((summary.empty, summary.invalid), (0, 0), "{summary:?}");
    assert!(summary.missing.is_empty(), "{summary:?}");
    rows
}

#[test]
fn what_was_drawn_is_read_back_from_table_and_parts() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/set");
    write(&dir);
    for (side, count) in [(Split::Train, 12), (Split::Validation, 4), (Split::Test, 4)] {
        let draws: Vec<_> = Draws::new(3, side).take(count).collect();
        let expected: Vec<Row> = (0..)
            .zip(&draws)
            .map(|(number, draw)| Row {
                prompt: draw.prompt.clone(),
                image: Some(ImageRecord {
                    image_name: draw.image_name.clone(),
                    part_id: Some(number / 5 + 1),
                    seed: Some(draw.seed.into()),
                    step: Some(draw.steps.into()),
                    cfg: Some(draw.guidance),
                    sampler: Some(draw.sampler.name().to_owned()),
                    width: Some(SIDE),
                    height: Some(SIDE),
                    image_nsfw: Some(0.0),
                    prompt_nsfw: Some(0.0),
                    timestamp: Some(draw.timestamp_s * 1000),
                    ..ImageRecord::default()
                }),
                vector: None,
            })
            .collect();
        let side = dir.join(side.name());
        assert_eq!(rows(&side), expected);
        let of_part = |row: Row| Row {
            image: row.image.map(|image| ImageRecord {
                width: None,
                height: None,
                image_nsfw: None,
                prompt_nsfw: None,
                timestamp: None,
                ..image
            }),
            ..row
        };
        let expected: Vec<Row> = expected.into_iter().map(of_part).collect();
        assert_eq!(rows(&side.join("images")), expected);
    }
}

#[test]
fn bytes_depend_on_neither_run_nor_threads() {
    let (_model, model) = model();
    let folders = [1, 1, 3].map(|threads| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        pool.install(|| run(&recipe(folder.path()), &model))
            .unwrap();
        folder
    });
    let [first, again, threads] = folders.each_ref().map(|folder| tree(folder.path()));
    // dataset.json, five parts and three tables.
    assert_eq!(first.len(), 9, "{:?}", first.keys());
    assert!(first == again, "another run gave other bytes");
    assert!(first == threads, "three threads gave other bytes");
}

#[test]
fn goes_on_where_parts_are_missing_or_damaged() {
    let (_model, model) = model();
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path());
    let mut looks = 0;
    let stopped = recipe.run(&model, encoder(), &mut |_, _| {
        looks += 1;
        if looks == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    let images = folder.path().join("train/images");
    assert_eq!(tree(&images).len(), 2);

    assert_eq!(run(&recipe, &model).unwrap(), 20);
    let whole = tree(folder.path());
    fs::remove_file(images.join("part-000001.zip")).unwrap();
    let second = images.join("part-000002.zip");
    let bytes = &whole[Path::new("train/images/part-000002.zip")];
    fs::write(&second, &bytes[..bytes.len() / 2]).unwrap();
    let third = images.join("part-000003.zip");
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let before = written(&third);
    assert_eq!(run(&recipe, &model).unwrap(), 20);
    assert!(tree(folder.path()) == whole, "other bytes than before");
    assert_eq!(written(&third), before);
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let (_model, model) = model();
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path());
    run(&recipe, &model).unwrap();
    let other = DatasetRecipe {
        train: 11,
        seed: 4,
        ..recipe.clone()
    };
    let error = run(&other, &model).unwrap_err();
    assert!(matches!(error, Error::OtherDataset { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("seed 3, asked for 4; train 12, asked for 11"),
        "{said}"
    );

    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("notes.txt"), "mine").unwrap();
    let error = run(&self::recipe(foreign.path()), &model).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    assert_eq!(tree(foreign.path()).len(), 1);

    let many = DatasetRecipe {
        test: 5 * 65_535 + 1,
        ..recipe
    };
    let error = run(&many, &model).unwrap_err();
    assert!(matches!(error, Error::TooManyImages { .. }), "{error}");
}
