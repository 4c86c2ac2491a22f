//! What is fitted to a model, what it answers then, and the proof.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{json_lines, unprompt, with_index};

/// A copy of the built-in model without what was fitted to it.
fn unfitted_model(dir: &Path) {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/vit");
    fs::create_dir(dir).unwrap();
    for file in ["config.json", "model.safetensors", "vocabulary.txt"] {
        fs::copy(assets.join(file), dir.join(file)).unwrap();
    }
}

#[test]
fn a_fitted_model_is_sure_where_it_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    unfitted_model(&at.join("mine"));
    let fit = |data: &str, images: &str| {
        let run = [
            "evaluate",
            "--model",
            "mine",
            "--fit-confidence",
            "--data",
            data,
        ];
        let rest = ["--images", images, "--reconstruct-ms", "0"];
        unprompt(at, run.into_iter().chain(rest))
    };
    let said = fit("pocket:40", "20").failed(1);
    assert!(said.contains("40 answers are too few"), "{said}");
    assert!(!at.join("mine/confidence.json").exists());
    // What is to be fitted anew may be damaged.
    fs::write(at.join("mine/confidence.json"), "{}").unwrap();
    let said = unprompt(at, ["evaluate", "--model", "mine"]).failed(1);
    assert!(said.contains("--fit-confidence"), "{said}");
    fit("pocket:768", "768").ok();
    let fitted = ["mine/familiarity.safetensors", "mine/residuals.safetensors"];
    assert!(fitted.iter().all(|file| at.join(file).is_file()));

    let run = [
        "evaluate",
        "--model",
        "mine",
        "--data",
        "pocket:400",
        "--images",
        "100",
    ];
    let rest = [
        "--reconstruct-ms",
        "0",
        "--ablation",
        "--report",
        "told",
        "--json",
    ];
    let lines = json_lines(&unprompt(at, run.into_iter().chain(rest)).ok());
    let number = |pointer: &str| lines[0].pointer(pointer).and_then(Value::as_f64).unwrap();
    assert!(number("/calibration/error") < 0.1);
    assert!(number("/elsewhere/unsure") >= 0.9);
    assert!(number("/in_index/recall/at_1") > 0.7);
    let ways = lines[0]["ablation"].as_array().unwrap();
    assert_eq!(ways.len(), 4);
    let at_1 = |way: usize| ways[way]["recall"]["at_1"].as_f64().unwrap();
    assert!(at_1(3) >= at_1(0) && at_1(3) >= at_1(1), "{ways:?}");
    let report = fs::read_to_string(at.join("told/report.md")).unwrap();
    for part in [
        "| all, ranked |",
        "reliability.svg",
        "answer's colour is right",
        "unsure",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let plot = fs::read_to_string(at.join("told/reliability.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("confidence"));

    let refused = |file: &str| {
        let said = unprompt(at, ["evaluate", "--model", "mine"]).failed(1);
        assert!(
            said.contains(file) && said.contains("--fit-confidence"),
            "{said}"
        );
    };
    for file in fitted {
        let sound = fs::read(at.join(file)).unwrap();
        fs::write(at.join(file), b"damaged").unwrap();
        refused(file);
        fs::write(at.join(file), sound).unwrap();
    }
    // The confidence was fitted with them.
    fs::remove_file(at.join(fitted[1])).unwrap();
    refused(fitted[1]);
}

#[test]
fn answers_are_made_images_again() {
    let (folder, _) = with_index();
    let at = folder.path();
    let picture = image::RgbImage::from_fn(80, 40, |x, y| image::Rgb([x as u8, y as u8, 90]));
    for name in ["a.png", "b.png"] {
        picture.save(at.join(name)).unwrap();
    }
    let run = ["reverse", "x.idx", "a.png", "b.png", "--verify", "--json"];
    let answers = json_lines(&unprompt(at, run).ok());
    assert_eq!(answers.len(), 2);
    for answer in &answers {
        let made = answer["verified"]["images"].as_array().unwrap();
        let cosines = made.iter().map(|it| it["cosine"].as_f64().unwrap());
        assert!(made.len() == 3 && cosines.clone().is_sorted_by(|a, b| a >= b));
        assert!(cosines.into_iter().all(|cosine| cosine.abs() <= 1.0001));
        let picture = at.join(answer["verified"]["picture"].as_str().unwrap());
        assert!(picture.starts_with(at.join("verified")));
        assert!(image::open(picture).unwrap().width() > 1000);
    }
    let said = unprompt(at, ["reverse", "x.idx", "a.png", "--verify=made"]).ok();
    assert!(said.contains("made again, cosine"), "{said}");
    assert!(at.join("made/001-a.png").is_file());
    let run = [
        "reverse",
        "x.idx",
        "a.png",
        "--verify",
        "--diffusion",
        "none",
    ];
    let said = unprompt(at, run).failed(1);
    assert!(said.contains("none") && said.contains("pocket"), "{said}");
}
