//! A model adapted to images of a target domain.

use std::fs;
use std::path::Path;

use image::DynamicImage;
use image::imageops::FilterType;
use unprompt::pocket::{Prompts, Split};

use super::{json_lines, unprompt};

/// Test images that have been small: the blur is the target domain.
fn write_blurred(folder: &Path, count: usize) {
    fs::create_dir_all(folder).unwrap();
    for (number, prompt) in Prompts::new(5, Split::Test).take(count).enumerate() {
        let image = DynamicImage::from(prompt.render());
        let small = image.resize_exact(24, 24, FilterType::Triangle);
        let image = small.resize_exact(64, 64, FilterType::Triangle);
        image.save(folder.join(format!("{number:03}.png"))).unwrap();
    }
}

fn adapt(folder: &Path, more: &str) -> super::Run {
    let all = "adapt --target pictures --data pocket:300";
    unprompt(folder, all.split(' ').chain(more.split(' ')))
}

#[test]
fn a_model_is_adapted_and_its_second_prediction_searched_for() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    write_blurred(&dir.join("pictures"), 40);
    fs::write(dir.join("pictures/broken.png"), "no picture").unwrap();

    // The defaults are for thousands of centroids: with so few they would leave the mean alone.
    let said = adapt(dir, "--out mine --centroids 100 --gamma 1 --alpha 0.1").ok();
    assert!(said.contains("to 40 images by 100 centroids"), "{said}");
    let arguments = "evaluate --predictions --model mine --data pocket:64 --images 64 --json";
    let figures = json_lines(&unprompt(dir, arguments.split(' ')).ok()).remove(0);
    let cosine = |name: &str| figures[name].as_f64().unwrap();
    let least = cosine("mean_embedding") + 0.02;
    assert!(cosine("adapted_cosine") > least, "{figures}");

    fs::write(dir.join("prompts.txt"), super::PROMPTS).unwrap();
    unprompt(dir, ["index", "build", "prompts.txt", "--out", "x.idx"]).ok();
    let reverse = |model: &str| {
        let arguments = [
            "reverse",
            "x.idx",
            "pictures/000.png",
            "--model",
            model,
            "--json",
        ];
        json_lines(&unprompt(dir, arguments).ok()).remove(0)
    };
    let answer = reverse("mine");
    let hits = answer["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 4);
    for hit in hits {
        let cosine = hit["scores"]["kernel"].as_f64().unwrap();
        assert!((-1.0..=1.0).contains(&cosine), "{hit}");
        assert_ne!(hit["scores"]["kernel"], hit["scores"]["vector"]);
        let rank = hit["ranks"]["kernel"].as_u64().unwrap();
        assert!((1..=4).contains(&rank), "{hit}");
    }
    assert!(reverse("vit")["hits"][0]["scores"]["kernel"].is_null());

    // The adaptation of other weights, and half a file.
    let path = dir.join("mine/adaptation.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let search = ["reverse", "x.idx", "pictures/000.png", "--model", "mine"];
    let said = unprompt(dir, search).failed(1);
    assert!(said.contains("not an adaptation"), "{said}");
    adapt(dir, "--model mine --out mine --centroids 50").ok();
    unprompt(dir, search).ok();
    let words = dir.join("mine/vocabulary.txt");
    let other = fs::read_to_string(&words)
        .unwrap()
        .replacen("cat", "chat", 1);
    fs::write(&words, other).unwrap();
    let said = unprompt(dir, search).failed(1);
    assert!(said.contains("another model"), "{said}");
    let said = adapt(dir, "--out mine").failed(1);
    assert!(said.contains("give another folder"), "{said}");
}

#[test]
fn what_cannot_be_adapted_to_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::create_dir(dir.join("pictures")).unwrap();
    let said = adapt(dir, "--out mine").failed(1);
    assert!(said.contains("no image files"), "{said}");
    fs::write(dir.join("pictures/a.png"), "no picture").unwrap();
    let said = adapt(dir, "--out mine").failed(1);
    assert!(said.contains("there are none"), "{said}");
    assert!(!dir.join("mine").exists());
    fs::create_dir(dir.join("other")).unwrap();
    for file in ["config.json", "model.safetensors", "vocabulary.txt"] {
        fs::write(dir.join("other").join(file), "{}").unwrap();
    }
    let said = adapt(dir, "--out other").failed(1);
    assert!(said.contains("give another folder"), "{said}");
    let said = adapt(dir, "--target nothing --out mine").failed(1);
    assert!(said.contains("no such file"), "{said}");
    adapt(dir, "--out mine --gamma 0").failed(2);
}
