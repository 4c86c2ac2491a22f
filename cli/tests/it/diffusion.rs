//! Diffusion models and what is built on them, at sizes that train in seconds.

use std::fs;
use std::path::Path;

use image::RgbImage;
use serde_json::Value;

use super::{json_lines, unprompt};

/// A diffusion model of a few steps: what it makes is noise, but every part is there.
fn train_diffusion(folder: &Path) {
    let said = unprompt(
        folder,
        [
            "train-diffusion",
            "--data",
            "pocket:64",
            "--out",
            "sd",
            "--autoencoder-epochs",
            "1",
            "--epochs",
            "1",
        ],
    )
    .ok();
    assert!(said.contains("decibels of the autoencoder"), "{said}");
    for part in ["unet", "vae"] {
        assert!(folder.join("sd").join(part).join("config.json").is_file());
    }
}

fn generate<const N: usize>(folder: &Path, arguments: [&str; N]) -> super::Run {
    let all = ["generate", "--model", "sd", "--steps", "2"];
    unprompt(folder, all.into_iter().chain(arguments))
}

#[test]
fn a_diffusion_model_is_trained_used_judged_and_learnt_from() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    train_diffusion(dir);

    let said = generate(dir, ["a red cat", "--out", "a.jpg"]).failed(2);
    assert!(said.contains("PNG"), "{said}");
    generate(dir, ["a red cat", "--out", "a.png"]).ok();
    let said = &json_lines(&unprompt(dir, ["read", "a.png"]).ok())[0];
    assert_eq!(said["embedded"]["prompt"], "a red cat");
    assert_eq!(said["embedded"]["steps"], 2);
    generate(dir, ["a red cat", "--out", "again.png"]).ok();
    generate(dir, ["a red cat", "--out", "other.png", "--seed", "2"]).ok();
    generate(dir, ["a red cat", "a car", "-n", "2", "--out", "many.png"]).ok();
    let read = |name: &str| image::open(dir.join(name)).unwrap().into_rgb8();
    assert_eq!(read("a.png").dimensions(), (64, 64));
    assert!(read("a.png") == read("again.png"));
    assert!(read("a.png") != read("other.png"));
    // Numbered by prompt, then by seed; but for rounding, an image does not depend on what is made beside it.
    same(&read("many-1.png"), &read("a.png"));
    same(&read("many-2.png"), &read("other.png"));
    assert!(dir.join("many-4.png").is_file());

    let checker = [
        "train-checker",
        "--data",
        "pocket:128",
        "--out",
        "ch",
        "--epochs",
        "1",
    ];
    unprompt(dir, checker).ok();
    let judged = unprompt(
        dir,
        [
            "adherence",
            "--model",
            "sd",
            "--checker",
            "ch",
            "--images",
            "4",
            "--steps",
            "2",
            "--json",
            "--sheet",
            "sheet.png",
        ],
    );
    let judged: Value = serde_json::from_str(&judged.ok()).unwrap();
    for images in ["generated", "reconstructed", "rendered"] {
        let shares = judged[images]["attributes"].as_object().unwrap();
        assert_eq!(shares.len(), 8, "{judged}");
        // Of four images.
        let of_four = |share: &Value| (share.as_f64().unwrap() * 4.0).fract() == 0.0;
        assert!(shares.values().all(of_four), "{judged}");
    }
    // The built-in predictor knows rendered images.
    assert!(
        judged["rendered"]["cosine"].as_f64().unwrap() > 0.7,
        "{judged}"
    );
    assert!(dir.join("sheet.png").is_file());

    let white_box = ["--encoder", "unet", "--diffusion", "sd", "--out", "wb"];
    train(dir, "1", &white_box).ok();
    let grafted = [
        "graft",
        "--model",
        "sd",
        "--encoder",
        "wb",
        "--out",
        "grafted",
    ];
    unprompt(dir, grafted).ok();
    // All of the white box's way down is taken, and nothing else is changed.
    let tensors = |path: &str| {
        let path = dir.join(path);
        candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap()
    };
    let numbers = |tensor: &candle_core::Tensor| {
        let numbers = tensor.to_dtype(candle_core::DType::F32).unwrap();
        numbers.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let unet = "unet/diffusion_pytorch_model.safetensors";
    let [own, grafted] = ["sd", "grafted"].map(|model| tensors(&format!("{model}/{unet}")));
    let white_box = tensors("wb/model.safetensors");
    let mut taken = 0;
    for (name, tensor) in &grafted {
        let learnt = white_box.get(&format!("encoder.unet.{name}"));
        taken += usize::from(learnt.is_some());
        assert_eq!(
            numbers(tensor),
            numbers(learnt.unwrap_or(&own[name])),
            "{name}"
        );
    }
    assert!(taken > 10 && taken < own.len(), "{taken}");
    // With nothing of the white box taken, the model stays what it was.
    let own = [
        "graft",
        "--model",
        "sd",
        "--encoder",
        "wb",
        "--share",
        "0",
        "--out",
        "own",
    ];
    unprompt(dir, own).ok();
    let arguments = [
        "generate",
        "--model",
        "own",
        "--steps",
        "2",
        "a red cat",
        "--out",
        "own.png",
    ];
    unprompt(dir, arguments).ok();
    same(&read("own.png"), &read("a.png"));
    let said = unprompt(
        dir,
        ["graft", "--model", "sd", "--encoder", "wb", "--out", "sd"],
    )
    .failed(1);
    assert!(said.contains("holds a model"), "{said}");
    let untouched = ["graft", "--model", "sd", "--encoder", "vit", "--out", "no"];
    let said = unprompt(dir, untouched).failed(1);
    assert!(said.contains("no white box"), "{said}");

    let said = unprompt(
        dir,
        ["ensemble", "vit", "wb", "--out", "both", "--images", "64"],
    )
    .ok();
    assert!(said.contains("all of them"), "{said}");
    let figures = |model: &str| {
        let arguments = [
            "evaluate",
            "--predictions",
            "--model",
            model,
            "--data",
            "pocket:64",
            "--images",
            "32",
            "--json",
        ];
        json_lines(&unprompt(dir, arguments).ok()).remove(0)
    };
    let (one, both) = (figures("vit"), figures("both"));
    let cosine = |figures: &Value| figures["mean_cosine"].as_f64().unwrap();
    // One that has learnt nothing gets no weight, or so little that it does no harm.
    assert!(cosine(&both) > cosine(&one) - 0.01, "{one} {both}");
    assert!(cosine(&one) > one["mean_embedding"].as_f64().unwrap() + 0.1);
}

/// Asserts that two images are the same but for rounding: `assert_eq` would print every pixel.
fn same(a: &RgbImage, b: &RgbImage) {
    assert_eq!(a.dimensions(), b.dimensions());
    let most = a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(most.unwrap() <= 2, "{most:?} grey levels apart");
}

/// A training run over 64 prompts.
fn train(folder: &Path, epochs: &str, arguments: &[&str]) -> super::Run {
    let output = assert_cmd::cargo::cargo_bin_cmd!("unprompt")
        .current_dir(folder)
        .args(["train", "--data", "pocket:64", "--epochs", epochs])
        .args(arguments)
        .output();
    super::Run::from(output.unwrap())
}

#[test]
fn every_black_box_trains_and_easy_examples_may_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for encoder in ["swin", "clip"] {
        let arguments = [
            "--encoder",
            encoder,
            "--out",
            encoder,
            "--tower-epochs",
            "1",
        ];
        train(dir, "1", &arguments).ok();
        assert!(dir.join(encoder).join("model.safetensors").is_file());
    }
    let mixed = [
        "--encoder",
        "swin",
        "--precision",
        "mixed",
        "--out",
        "mixed",
    ];
    train(dir, "1", &mixed).ok();
    let provenance = fs::read_to_string(dir.join("mixed/provenance.json")).unwrap();
    assert!(
        provenance.contains(r#""precision": "mixed""#),
        "{provenance}"
    );
    let half = ["--encoder", "swin", "--precision", "half", "--out", "half"];
    train(dir, "1", &half).failed(2);
    assert!(dir.join("clip/tower/model.safetensors").is_file());
    let curriculum = [
        "--encoder",
        "vit",
        "--curriculum",
        "--batch-size",
        "16",
        "--out",
        "vit",
    ];
    train(dir, "2", &curriculum).ok();
    assert!(dir.join("vit/plain/easiness.safetensors").is_file());
    // Two stages: half of the 64 examples in the first epoch, by sixteen.
    let log = fs::read_to_string(dir.join("vit/training.csv")).unwrap();
    assert!(log.lines().nth(1).unwrap().starts_with("2,0,"), "{log}");
    // Refused before the plain run.
    let said = train(
        dir,
        "1",
        &["--encoder", "vit", "--curriculum", "--out", "mixed"],
    )
    .failed(1);
    assert!(said.contains("is there already"), "{said}");
    assert!(!dir.join("mixed/plain").exists());
}

#[test]
fn a_trained_model_is_gone_on_with_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    train(dir, "1", &["--pretrained", "vit", "--out", "mine"]).ok();
    let twice = [
        "--pretrained",
        "vit",
        "--encoder",
        "swin",
        "--out",
        "neither",
    ];
    train(dir, "1", &twice).failed(2);
    train(dir, "1", &["--out", "neither"]).failed(2);
    let said = train(dir, "1", &["--pretrained", "none", "--out", "neither"]).failed(1);
    assert!(said.contains("none"), "{said}");

    let compare = [
        "evaluate",
        "--predictions",
        "--model",
        "vit",
        "mine",
        "--data",
        "pocket:64",
        "--images",
        "32",
        "--json",
    ];
    let lines = json_lines(&unprompt(dir, compare).ok());
    let names: Vec<_> = lines.iter().map(|line| &line["model"]).collect();
    assert_eq!(names, ["vit", "mine"]);
    // One step at a low rate leaves nearly all that was learnt.
    let cosines: Vec<f64> = lines
        .iter()
        .map(|line| line["mean_cosine"].as_f64().unwrap())
        .collect();
    assert!(cosines[1] > cosines[0] - 0.1, "{cosines:?}");
    // What a wording itself tells is the same beside every model, and is much.
    assert_eq!(
        lines[0]["attributes_of_truth"],
        lines[1]["attributes_of_truth"]
    );
    let told = lines[0]["attributes_of_truth"].as_array().unwrap();
    assert_eq!(told.len(), 8);
    let share = |attribute: &Value| attribute[1].as_f64().unwrap();
    let mean = told.iter().map(share).sum::<f64>() / 8.0;
    assert!(mean > 0.7, "{told:?}");
    assert!(lines[0]["meanings"].as_u64().unwrap() > 32);
    unprompt(dir, ["evaluate", "--model", "vit", "mine"]).failed(1);
}
