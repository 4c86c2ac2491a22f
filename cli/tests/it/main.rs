//! The binary as a user runs it.

mod adapt; // a model to other images
mod answer; // what is fitted to a model, what it answers then, and the proof
mod diffusion; // text to image, and what learns from it
mod gallery; // folders of images
mod index; // building, changing and exporting indexes
mod published; // models of others
mod serve; // the server as a process

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;
use tempfile::TempDir;

const PROMPTS: &str = "a red cat in the snow\nportrait of an old wizard, oil painting\n\
    a lighthouse in a storm\n\na red cat in the snow\na robot drinking tea\n";

struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    fn ok(self) -> String {
        assert_eq!(self.status, 0, "{}", self.stderr);
        self.stdout
    }

    /// What failed with this status said, in one line without a backtrace.
    fn failed(self, status: i32) -> String {
        assert_eq!(self.status, status, "{}\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr
    }
}

fn unprompt<'a>(folder: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Run {
    let output = cargo_bin_cmd!("unprompt")
        .current_dir(folder)
        .args(arguments)
        .output();
    Run::from(output.unwrap())
}

fn with_index() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prompts.txt"), PROMPTS).unwrap();
    let said = unprompt(
        folder.path(),
        ["index", "build", "prompts.txt", "--out", "x.idx"],
    )
    .ok();
    assert!(
        said.starts_with("4 prompts with 0 images from 5 rows"),
        "{said}"
    );
    let index = folder.path().join("x.idx");
    (folder, index)
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn search_answers_in_every_mode() {
    let (folder, _) = with_index();
    for mode in ["hybrid", "vector", "keyword"] {
        let query = "old wizard";
        let said = unprompt(
            folder.path(),
            [
                "search", "x.idx", query, "--mode", mode, "--json", "-k", "2",
            ],
        );
        let lines = json_lines(&said.ok());
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (lines[0]["query"].as_str(), lines[0]["mode"].as_str()),
            (Some(query), Some(mode))
        );
        assert!(lines[0]["took_ms"].is_number());
        let hit = &lines[0]["hits"][0];
        assert_eq!(hit["prompt"], "portrait of an old wizard, oil painting");
        assert_eq!(
            (hit["rank"].as_u64(), hit["image_count"].as_u64()),
            (Some(1), Some(0))
        );
        assert!(hit["scores"]["kernel"].is_null());
        assert_eq!(hit["scores"]["vector"].is_null(), mode == "keyword");
        assert_eq!(hit["scores"]["keyword"].is_null(), mode == "vector");
    }
    let table = unprompt(
        folder.path(),
        ["search", "x.idx", "cat", "--mode", "keyword"],
    )
    .ok();
    assert!(table.contains("a red cat in the snow"), "{table}");
}

#[test]
fn queries_come_from_standard_input_and_filters_apply() {
    let (folder, _) = with_index();
    let run = cargo_bin_cmd!("unprompt")
        .current_dir(folder.path())
        .args([
            "search",
            "x.idx",
            "-",
            "--mode",
            "keyword",
            "--json",
            "--filter",
            "-prompt:snow",
        ])
        .write_stdin("red cat\nrobot\n")
        .output();
    let lines = json_lines(&Run::from(run.unwrap()).ok());
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["hits"].as_array().unwrap().len(), 0);
    assert_eq!(lines[1]["hits"][0]["prompt"], "a robot drinking tea");
    let said = unprompt(
        folder.path(),
        ["search", "x.idx", "x", "--filter", "nofield:1"],
    )
    .failed(1);
    assert!(
        said.contains("nofield") && said.contains("sampler"),
        "{said}"
    );
}

#[test]
fn stats_and_check_tell_a_sound_index_from_a_damaged_one() {
    let (folder, index) = with_index();
    let stats = unprompt(folder.path(), ["index", "stats", "x.idx", "--json"]).ok();
    let stats: Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(
        (stats["prompts"].as_u64(), stats["segments"].as_u64()),
        (Some(4), Some(1))
    );
    assert_eq!(stats["encoder"]["name"], "all-MiniLM-L6-v2");
    unprompt(folder.path(), ["index", "check", "x.idx"]).ok();

    let segment = fs::read_dir(index.join("segments"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let vectors = segment.join("vectors");
    let mut bytes = fs::read(&vectors).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&vectors, bytes).unwrap();
    let run = unprompt(folder.path(), ["index", "check", "x.idx"]);
    assert!(run.stdout.contains("vectors"), "{}", run.stdout);
    run.failed(3);
}

#[cfg(unix)]
#[test]
fn all_files_of_an_index_are_as_readable_as_its_vectors() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, index) = with_index();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let usual = mode(&index.join("segments/000001/vectors"));
    for part in ["prompts", "images"] {
        for entry in fs::read_dir(index.join("segments/000001").join(part)).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), usual);
        }
    }
}

#[test]
fn failures_say_what_where_and_what_to_do() {
    let (folder, _) = with_index();
    let at = folder.path();
    let said = unprompt(at, ["index", "build", "prompts.txt", "--out", "x.idx"]).failed(1);
    assert!(said.contains("already holds an index"), "{said}");
    let said = unprompt(at, ["index", "build", "nothing.txt", "--out", "y.idx"]).failed(1);
    assert!(said.contains("nothing.txt"), "{said}");
    fs::write(at.join("bytes.txt"), b"\xff\xfa\n\xfb\n").unwrap();
    let said = unprompt(at, ["index", "build", "bytes.txt", "--out", "y.idx"]).failed(1);
    assert!(said.contains("none of the 2 rows of bytes.txt"), "{said}");
    fs::create_dir(at.join("empty")).unwrap();
    let said = unprompt(at, ["index", "build", "empty", "--out", "y.idx"]).failed(1);
    assert!(said.contains("found nothing"), "{said}");
    assert!(!at.join("y.idx").exists());
    let said = unprompt(at, ["search", "nowhere.idx", "cat"]).failed(1);
    assert!(said.contains("nowhere.idx"), "{said}");
    let said = unprompt(at, ["reverse", "x.idx", "none.png"]).failed(1);
    assert!(said.contains("none.png"), "{said}");
    let said = unprompt(at, ["reverse", "x.idx", "none.png", "--model", "no-model"]).failed(1);
    assert!(said.contains("no-model") && said.contains("vit"), "{said}");
    let said = unprompt(at, ["evaluate", "--images", "0"]).failed(2);
    assert!(said.contains("--images"), "{said}");
    unprompt(at, ["index", "build", "--out", "y.idx"]).failed(2);
    unprompt(at, ["no-such-command"]).failed(2);
    unprompt(at, ["search", "x.idx", "cat", "--device", "abacus"]).failed(2);
}

#[test]
fn a_broken_image_does_not_stop_the_others() {
    let (folder, _) = with_index();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    let picture = image::RgbImage::from_fn(80, 40, |x, y| image::Rgb([x as u8, y as u8, 90]));
    picture.save(images.join("a.png")).unwrap();
    fs::write(images.join("b.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    picture.save(images.join("c.png")).unwrap();
    fs::write(images.join("notes.txt"), "no image").unwrap();

    // As long as it takes: what is put together in a shorter time depends on what else runs.
    let patient = ["--json", "--reconstruct-ms", "10000"];
    let run = unprompt(
        folder.path(),
        [&["reverse", "x.idx", "images"], &patient[..]].concat(),
    );
    let answers = json_lines(&run.stdout);
    assert_eq!(answers.len(), 2);
    for (answer, name) in answers.iter().zip(["a.png", "c.png"]) {
        assert!(answer["image"].as_str().unwrap().ends_with(name));
        for key in [
            "verdict",
            "prompt",
            "confidence",
            "words",
            "phrases",
            "hits",
            "took_ms",
        ] {
            assert!(!answer[key].is_null(), "{key}");
        }
        assert!(answer["embedded"].is_null());
    }
    let said = run.failed(1);
    assert!(said.contains("b.png") && said.contains("1 of 3"), "{said}");

    let read = json_lines(&unprompt(folder.path(), ["read", "images/a.png"]).ok());
    assert!(read[0]["embedded"].is_null());
    unprompt(folder.path(), ["read", "images/notes.txt"]).failed(1);

    let unlisted = ["reverse", "x.idx", "images/a.png", "-k", "0"];
    let unlisted = [&unlisted[..], &patient].concat();
    let unlisted = json_lines(&unprompt(folder.path(), unlisted).ok());
    assert_eq!(unlisted[0]["prompt"], answers[0]["prompt"]);
    assert_eq!(unlisted[0]["hits"].as_array().unwrap().len(), 0);
}

#[test]
fn embed_prints_unit_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let lines = json_lines(&unprompt(folder.path(), ["embed", "a cat", ""]).ok());
    assert_eq!(lines.len(), 2);
    for line in &lines {
        let values = line["embedding"].as_array().unwrap();
        let square: f64 = values
            .iter()
            .map(|value| value.as_f64().unwrap().powi(2))
            .sum();
        assert!(values.len() == 384 && (square - 1.0).abs() < 1e-4);
    }
}

#[test]
fn models_are_listed_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let list = unprompt(folder.path(), ["models", "list"]).ok();
    assert!(
        list.contains("all-MiniLM-L6-v2") && list.contains("Apache-2.0"),
        "{list}"
    );
    let pulled = unprompt(folder.path(), ["models", "pull", "all-MiniLM-L6-v2"]).ok();
    let path = unprompt(folder.path(), ["models", "path", "all-MiniLM-L6-v2"]).ok();
    assert_eq!(pulled, path);
    assert!(Path::new(path.trim()).join("model.safetensors").is_file());
    let said = unprompt(folder.path(), ["models", "pull", "no-such-model"]).failed(1);
    assert!(said.contains("no-such-model"), "{said}");
}

#[test]
fn the_demo_runs_and_its_second_run_uses_the_index_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--no-serve", "--dir", "d", "--prompts", "200"];
    let said = unprompt(folder.path(), arguments).ok();
    assert_eq!(said.matches("\n    answer  ").count(), 12, "{said}");
    assert!(said.contains("recall@10"), "{said}");
    let sheet = image::open(folder.path().join("d/contact-sheet.png")).unwrap();
    assert!(sheet.width() > 1000 && sheet.height() > 1000);
    let again = unprompt(folder.path(), arguments).ok();
    assert!(again.contains("is there already"), "{again}");
}

#[test]
fn flags_read_their_variables() {
    let (folder, _) = with_index();
    let search = |name: &str, value: &str| {
        let run = cargo_bin_cmd!("unprompt")
            .current_dir(folder.path())
            .env(name, value)
            .args(["search", "x.idx", "cat", "--mode", "keyword"])
            .output();
        Run::from(run.unwrap()).ok()
    };
    for yes in ["1", "true", "yes"] {
        assert_eq!(json_lines(&search("UNPROMPT_JSON", yes)).len(), 1);
    }
    for no in ["0", "false", ""] {
        assert!(search("UNPROMPT_JSON", no).contains("rank"));
    }
    assert!(!search("UNPROMPT_FILTER", "-prompt:cat").contains("red cat"));
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (folder, _) = with_index();
    let mut child = Command::new(cargo_bin_cmd!("unprompt").get_program())
        .current_dir(folder.path())
        .args(["models", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    assert_eq!(
        (
            run.status.code(),
            String::from_utf8(run.stderr).unwrap().as_str()
        ),
        (Some(0), "")
    );
}

#[test]
fn training_refuses_what_cannot_work() {
    let folder = tempfile::tempdir().unwrap();
    let train = |extra: [&str; 2]| {
        let base = [
            "train",
            "--data",
            "pocket:64",
            "--encoder",
            "vit",
            "--out",
            "m",
        ];
        let run = cargo_bin_cmd!("unprompt")
            .current_dir(folder.path())
            .args(base.iter().chain(&extra))
            .output();
        Run::from(run.unwrap())
    };
    for setting in ["--batch-size", "--epochs", "--accumulate"] {
        assert!(train([setting, "0"]).failed(2).contains(setting));
    }
    train(["--epochs", "1"]).ok();
    let said = train(["--epochs", "1"]).failed(1);
    assert!(said.contains("--resume"), "{said}");
    let said = Run::from(
        cargo_bin_cmd!("unprompt")
            .current_dir(folder.path())
            .args([
                "train",
                "--data",
                "prompts.txt",
                "--encoder",
                "vit",
                "--out",
                "n",
            ])
            .output()
            .unwrap(),
    )
    .failed(1);
    assert!(said.contains("prompts.txt"), "{said}");
}
