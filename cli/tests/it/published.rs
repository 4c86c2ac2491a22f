//! Models as others publish them, by the small ones of `tests/published`: they know nothing, but every part is
//! there.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::cargo::cargo_bin_cmd;
use image::RgbImage;

use super::{PROMPTS, Run, json_lines, unprompt};

fn published(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/published");
    root.join(name).to_str().unwrap().to_owned()
}

fn picture(at: &Path, name: &str) -> PathBuf {
    let image = RgbImage::from_fn(90, 60, |x, y| {
        image::Rgb([x as u8 * 2, y as u8 * 4, (x * y % 251) as u8])
    });
    let path = at.join(name);
    image.save(&path).unwrap();
    path
}

/// With the folders that models are kept in, `models` among them.
fn with_models<const N: usize>(at: &Path, arguments: [&str; N]) -> Run {
    let output = cargo_bin_cmd!("unprompt")
        .current_dir(at)
        .env("UNPROMPT_MODELS", at.join("models"))
        .args(arguments)
        .output();
    Run::from(output.unwrap())
}

#[test]
fn a_clip_answers_without_training() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("prompts.txt"), PROMPTS).unwrap();
    picture(at, "a.png");
    let clip = published("clip");
    let build = |index: &str, encoder: &str| {
        let arguments = ["index", "build", "prompts.txt", "--out", index];
        unprompt(
            at,
            arguments.into_iter().chain(["--sentence-encoder", encoder]),
        )
        .ok()
    };
    build("clip.idx", &format!("clip:{clip}"));
    let said = unprompt(at, ["index", "stats", "clip.idx", "--json"]).ok();
    assert!(said.contains("\"clip\""), "{said}");

    let model = format!("clip:{clip}");
    let reverse = ["reverse", "clip.idx", "a.png", "--json", "--model", &model];
    let run = unprompt(at, reverse);
    assert!(
        run.stderr.contains("nothing has been fitted"),
        "{}",
        run.stderr
    );
    let answer = &json_lines(&run.ok())[0];
    assert_eq!(answer["hits"].as_array().unwrap().len(), 4);
    assert_eq!(answer["confidence"], 0.0);
    assert_eq!(answer["verdict"], "unsure");
    assert!(answer["hits"][0]["scores"]["vector"].is_number());

    // Texts need the encoder: by its folder, or where models are kept.
    let search = [
        "search", "clip.idx", "red cat", "--mode", "vector", "--json",
    ];
    let said = unprompt(at, search).failed(1);
    assert!(said.contains("--sentence-encoder"), "{said}");
    let here = unprompt(at, search.into_iter().chain(["--sentence-encoder", &clip])).ok();
    fs::create_dir_all(at.join("models/clip")).unwrap();
    for file in fs::read_dir(&clip).unwrap() {
        let path = file.unwrap().path();
        fs::copy(
            &path,
            at.join("models/clip").join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    let found = with_models(at, search).ok();
    let prompts = |said: &str| -> Vec<String> {
        let hits = json_lines(said)[0]["hits"].as_array().unwrap().clone();
        hits.iter()
            .map(|hit| hit["prompt"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(prompts(&here), prompts(&found));
    let by_name = [
        "reverse",
        "clip.idx",
        "a.png",
        "--json",
        "--model",
        "clip:clip",
    ];
    let by_name = json_lines(&with_models(at, by_name).ok()).remove(0);
    assert_eq!(by_name["prompt"], answer["prompt"]);

    // Its own text tower serves where texts are needed beside it.
    fs::create_dir(at.join("pictures")).unwrap();
    picture(&at.join("pictures"), "b.png");
    let add = ["index", "add", "clip.idx", "pictures", "--predict"];
    let said = unprompt(at, add.into_iter().chain(["--model", &model])).ok();
    assert!(said.contains("1 with a predicted prompt"), "{said}");

    let bare = ["reverse", "clip.idx", "a.png", "--model", &clip];
    let said = unprompt(at, bare).failed(1);
    assert!(said.contains("clip:"), "{said}");
    let nowhere = ["reverse", "clip.idx", "a.png", "--model", "clip:nowhere"];
    let said = unprompt(at, nowhere).failed(1);
    assert!(said.contains("models pull"), "{said}");

    // What was made with another encoder is refused.
    let bert = published("bert-sentence");
    build("bert.idx", &bert);
    let said = unprompt(at, ["reverse", "bert.idx", "a.png", "--model", &model]).failed(1);
    assert!(
        said.contains("bert-sentence") && said.contains("clip"),
        "{said}"
    );
    let other = [
        "search",
        "clip.idx",
        "cat",
        "--sentence-encoder",
        &bert,
        "--mode",
        "vector",
    ];
    let said = unprompt(at, other).failed(1);
    assert!(
        said.contains("bert-sentence") && said.contains("clip"),
        "{said}"
    );
    let vit = format!("clip:{}", published("vit"));
    let said = unprompt(at, ["reverse", "clip.idx", "a.png", "--model", &vit]).failed(1);
    assert!(said.contains("only a CLIP"), "{said}");
}

#[test]
fn stable_diffusion_makes_images_and_proofs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let generate = |model: &str, out: &str, more: &[&str]| {
        let model = published(model);
        let arguments = ["generate", "a red fox", "--model", &model, "--out", out];
        let arguments = arguments.into_iter().chain(["--steps", "4"]);
        unprompt(at, arguments.chain(more.iter().copied()))
    };
    generate("sd1", "a.png", &[]).ok();
    generate(
        "sd1",
        "same.png",
        &["--sampler", "plms", "--guidance", "7.5"],
    )
    .ok();
    generate("sd1", "not.png", &["--negative-prompt", "blurry"]).ok();
    generate("sd2", "b.png", &["--sampler", "k_lms"]).ok();
    let read = |name: &str| image::open(at.join(name)).unwrap().into_rgb8();
    assert_eq!(read("a.png").dimensions(), (16, 16));
    assert!(read("a.png") == read("same.png"));
    assert!(read("a.png") != read("not.png"));
    let said = &json_lines(&unprompt(at, ["read", "b.png"]).ok())[0];
    assert_eq!(said["embedded"]["sampler"], "k_lms");

    fs::write(at.join("prompts.txt"), PROMPTS).unwrap();
    unprompt(at, ["index", "build", "prompts.txt", "--out", "x.idx"]).ok();
    let sd = published("sd1");
    let proof = [
        "reverse",
        "x.idx",
        "a.png",
        "--verify=proof",
        "--diffusion",
        &sd,
        "--json",
    ];
    let answer = &json_lines(&unprompt(at, proof).ok())[0];
    assert_eq!(answer["verdict"], "embedded");
    // The very seed is known, so that one image is the same again.
    let cosine = answer["verified"]["images"][0]["cosine"].as_f64().unwrap();
    assert!(cosine > 0.999, "{cosine}");

    let said = generate("vit", "c.png", &[]).failed(1);
    assert!(said.contains("unet/config.json"), "{said}");
}

#[test]
fn blip_captions_images() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(at, "a.png");
    fs::write(at.join("b.png"), "no image").unwrap();
    let blip = published("blip");
    let run = unprompt(at, ["caption", "a.png", "b.png", "--model", &blip]);
    assert!(run.stderr.contains("b.png"), "{}", run.stderr);
    assert_eq!(run.status, 1);
    let lines = json_lines(&run.stdout);
    assert_eq!(lines.len(), 1);
    assert!(!lines[0]["caption"].as_str().unwrap().is_empty());
    let said = unprompt(at, ["caption", "a.png", "--model", &published("clip")]).failed(1);
    assert!(said.contains("is not \"blip\""), "{said}");
}

#[test]
fn published_encoders_are_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, extra) in [("vit", &["--encoder", "vit"][..]), ("swinv2-timm", &[])] {
        let weights = published(name);
        let arguments = [
            "train",
            "--data",
            "pocket:64",
            "--weights",
            &weights,
            "--out",
            name,
        ];
        let arguments = arguments
            .into_iter()
            .chain(["--epochs", "1", "--no-vocabulary"]);
        let said = unprompt(at, arguments.chain(extra.iter().copied())).ok();
        assert!(said.contains("mean cosine on validation"), "{said}");
        picture(at, "a.png");
        fs::write(at.join("prompts.txt"), PROMPTS).unwrap();
        let index = format!("{name}.idx");
        unprompt(at, ["index", "build", "prompts.txt", "--out", &index]).ok();
        unprompt(at, ["reverse", &index, "a.png", "--model", name]).ok();
    }
    let vit = published("vit");
    let wrong = [
        "train",
        "--data",
        "pocket:64",
        "--encoder",
        "swin",
        "--weights",
        &vit,
    ];
    let said = unprompt(at, wrong.into_iter().chain(["--out", "wrong"])).failed(1);
    assert!(said.contains("holds a vit, not a swin"), "{said}");
}

#[test]
fn the_white_box_is_a_published_diffusion_model_and_goes_back_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in ["sd1", "sd2"] {
        let sd = published(name);
        let [white_box, grafted] = ["white-box", "grafted"].map(|it| format!("{name}-{it}"));
        let train = ["train", "--data", "pocket:64", "--encoder", "unet"];
        let from = ["--diffusion", &sd, "--out", &white_box, "--epochs", "1"];
        let said = unprompt(at, train.into_iter().chain(from)).ok();
        assert!(said.contains("mean cosine on validation"), "{said}");

        picture(at, "a.png");
        fs::write(at.join("prompts.txt"), PROMPTS).unwrap();
        let index = format!("{name}.idx");
        unprompt(at, ["index", "build", "prompts.txt", "--out", &index]).ok();
        unprompt(at, ["reverse", &index, "a.png", "--model", &white_box]).ok();

        let graft = ["graft", "--model", &sd, "--encoder", &white_box];
        let said = unprompt(at, graft.into_iter().chain(["--out", &grafted])).ok();
        assert!(said.contains(&grafted), "{said}");
        let images = [&sd, &grafted].map(|model| {
            let out = format!("{}.png", Path::new(model).file_name().unwrap().display());
            let order = ["generate", "a red fox", "--steps", "2", "--model", model];
            unprompt(at, order.into_iter().chain(["--out", &out])).ok();
            fs::read(at.join(out)).unwrap()
        });
        assert_ne!(images[0], images[1], "what was learnt changes the picture");
    }
    let wrong = ["--diffusion", &published("clip"), "--out", "wrong"];
    let train = ["train", "--data", "pocket:64", "--encoder", "unet"];
    let said = unprompt(at, train.into_iter().chain(wrong)).failed(1);
    assert!(said.contains("unet/config.json"), "{said}");
}

#[test]
fn a_blip_writes_captions_for_the_white_box() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (sd, blip) = (published("sd1"), published("blip"));
    let train = |out: &str, extra: &[&str]| {
        let train = ["train", "--data", "pocket:64", "--encoder", "unet"];
        let with = ["--captioner", &blip, "--epochs", "1", "--out", out];
        let arguments = train.into_iter().chain(with).chain(extra.iter().copied());
        unprompt(at, arguments)
    };
    // The pocket diffusion model holds nothing that could encode them.
    let said = train("wrong", &[]).failed(1);
    assert!(
        said.contains("text encoder of its own, which pocket is not"),
        "{said}"
    );

    let with_sd = ["--diffusion", &sd];
    // Another BLIP's would be read in its place.
    let other = at.join("white-box/captioner");
    fs::create_dir_all(&other).unwrap();
    for name in ["tokenizer.json", "model.safetensors.index.json"] {
        let path = other.join(name);
        fs::write(&path, "{}").unwrap();
        let said = train("white-box", &with_sd).failed(1);
        assert!(
            said.contains(&format!("captioner/{name} is no file")),
            "{said}"
        );
        fs::remove_file(path).unwrap();
    }
    let said = train("white-box", &with_sd).ok();
    assert!(said.contains("mean cosine on validation"), "{said}");
    let config = fs::read_to_string(at.join("white-box/config.json")).unwrap();
    assert!(config.contains("captioner_sha256"), "{config}");
    train("white-box", &[&with_sd[..], &["--resume"]].concat()).ok();

    picture(at, "a.png");
    fs::write(at.join("prompts.txt"), PROMPTS).unwrap();
    unprompt(at, ["index", "build", "prompts.txt", "--out", "my.idx"]).ok();
    let reverse = |model: &str| {
        let arguments = ["reverse", "my.idx", "a.png", "--model", model, "--json"];
        let mut found = json_lines(&unprompt(at, arguments).ok())[0].take();
        found["took_ms"].take();
        found["model"].take();
        found["timings_ms"].take();
        found
    };
    let found = reverse("white-box");
    // All that it needs is in its folder, and goes with it.
    fs::rename(at.join("white-box"), at.join("moved")).unwrap();
    assert_eq!(reverse("moved"), found);
    let fit = ["ensemble", "moved", "--data", "pocket:64", "--images", "16"];
    unprompt(at, fit.into_iter().chain(["--out", "both"])).ok();
    fs::rename(at.join("moved"), at.join("elsewhere")).unwrap();
    assert_eq!(reverse("both"), found);

    // What goes on from it takes it along.
    let go_on = [
        "train",
        "--data",
        "pocket:64",
        "--epochs",
        "1",
        "--pretrained",
        "elsewhere",
    ];
    unprompt(at, go_on.into_iter().chain(["--out", "on"])).ok();
    unprompt(at, ["reverse", "my.idx", "a.png", "--model", "on"]).ok();
    assert!(at.join("on/captioner/tokenizer.json").exists());
    fs::create_dir(at.join("pictures")).unwrap();
    for name in ["b.png", "c.png"] {
        picture(&at.join("pictures"), name);
    }
    let adapt = "adapt --target pictures --data pocket:64 --centroids 8 --model on --out adapted";
    unprompt(at, adapt.split(' ')).ok();
    unprompt(at, ["reverse", "my.idx", "a.png", "--model", "adapted"]).ok();
    // A white box whose captioner lies beside it cannot caption for another.
    let wrong = [&with_sd[..], &["--captioner", "elsewhere"]].concat();
    let train = [
        "train",
        "--data",
        "pocket:64",
        "--encoder",
        "unet",
        "--out",
        "wrong",
    ];
    let said = unprompt(at, train.into_iter().chain(wrong)).failed(1);
    assert!(said.contains("no captioner of its own"), "{said}");

    fs::remove_file(at.join("elsewhere/captioner/tokenizer.json")).unwrap();
    let arguments = ["reverse", "my.idx", "a.png", "--model", "elsewhere"];
    let said = unprompt(at, arguments).failed(1);
    assert!(said.contains("captioner/tokenizer.json"), "{said}");
}
