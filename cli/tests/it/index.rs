//! `index` and what it does to a folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;

use crate::{json_lines, unprompt, with_index};

fn stats(at: &Path, index: &str) -> Value {
    let said = unprompt(at, ["index", "stats", index, "--json"]).ok();
    serde_json::from_str(&said).unwrap()
}

/// The prompts that a keyword search lists, with the number of their images.
fn found(at: &Path, index: &str, words: &str) -> Vec<(String, u64)> {
    let said = unprompt(at, ["search", index, words, "--mode", "keyword", "--json"]).ok();
    let hits = json_lines(&said)[0]["hits"].as_array().unwrap().clone();
    let hit = |hit: &Value| {
        let prompt = hit["prompt"].as_str().unwrap().to_owned();
        (prompt, hit["image_count"].as_u64().unwrap())
    };
    hits.iter().map(hit).collect()
}

#[test]
fn prompts_are_added_deleted_and_compacted() {
    let (folder, _) = with_index();
    let at = folder.path();
    let csv = "prompt,image_name,sampler\na red cat in the snow,1.png,k_lms\n\
               a red cat in the snow,2.png,ddim\na blue whale,3.png,k_lms\n";
    fs::write(at.join("more.csv"), csv).unwrap();
    let said = unprompt(at, ["index", "add", "x.idx", "more.csv"]).ok();
    assert!(said.starts_with("1 new prompts and 3 new images"), "{said}");
    assert_eq!(
        found(at, "x.idx", "red cat"),
        [("a red cat in the snow".to_owned(), 2)]
    );
    let again = unprompt(at, ["index", "add", "x.idx", "more.csv"]).ok();
    assert!(
        again.starts_with("0 new prompts and 0 new images"),
        "{again}"
    );

    let said = unprompt(
        at,
        ["index", "delete", "x.idx", "--filter", "sampler:k_lms"],
    )
    .ok();
    assert_eq!(said, "1 prompts and 2 images deleted\n");
    assert_eq!(
        found(at, "x.idx", "red cat"),
        [("a red cat in the snow".to_owned(), 1)]
    );
    assert!(found(at, "x.idx", "whale").is_empty());
    let wizard = unprompt(at, ["search", "x.idx", "wizard", "-k", "1", "--json"]).ok();
    let id = json_lines(&wizard)[0]["hits"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let said = unprompt(at, ["index", "delete", "x.idx", "--id", &id, "--json"]).ok();
    assert_eq!(json_lines(&said)[0]["prompts"], 1);
    let said = unprompt(at, ["index", "delete", "x.idx", "--id", &id]).failed(1);
    assert!(said.contains("1 of 1 ids are not in the index"), "{said}");
    let said = unprompt(at, ["index", "delete", "x.idx", "--id", "wizard"]).failed(1);
    assert!(said.contains("32 lower-case hexadecimal digits"), "{said}");
    let said = unprompt(at, ["index", "delete", "x.idx", "--filter", ""]).failed(1);
    assert!(said.contains("'*'"), "{said}");
    unprompt(at, ["index", "delete", "x.idx"]).failed(2);

    assert!(stats(at, "x.idx")["deleted_prompts"].as_u64() > Some(0));
    unprompt(at, ["index", "compact", "x.idx"]).ok();
    let after = stats(at, "x.idx");
    assert_eq!(
        (&after["prompts"], &after["deleted_prompts"]),
        (&3.into(), &0.into())
    );
    assert_eq!(after["segments"], 1);
    unprompt(at, ["index", "check", "x.idx"]).ok();
}

#[test]
fn what_was_exported_builds_the_same_index_again() {
    let (folder, _) = with_index();
    let at = folder.path();
    let csv = "prompt,image_name,seed,cfg,timestamp\na red cat in the snow,1.png,7,7.5,\n\
               a red cat in the snow,2.png,18446744073709551615,,2022-08-20T06:36:00Z\n";
    fs::write(at.join("more.csv"), csv).unwrap();
    unprompt(at, ["index", "add", "x.idx", "more.csv"]).ok();
    unprompt(at, ["index", "export", "x.idx", "--out", "x.parquet"]).ok();
    unprompt(at, ["index", "build", "x.parquet", "--out", "y.idx"]).ok();
    let answer = |index: &str, mode: &str| {
        let filter = "timestamp:[2022-01-01 TO *]";
        let run = |filter: &str| {
            let said = unprompt(
                at,
                [
                    "search", index, "a cat", "--mode", mode, "--filter", filter, "--json",
                ],
            );
            json_lines(&said.ok())[0]["hits"].clone()
        };
        (run("*"), run(filter))
    };
    for mode in ["hybrid", "vector", "keyword"] {
        assert_eq!(answer("y.idx", mode), answer("x.idx", mode), "{mode}");
    }
    let said = unprompt(at, ["index", "export", "x.idx", "--out", "x.idx"]).failed(1);
    assert!(said.contains("x.idx is a folder"), "{said}");
}

#[test]
fn without_a_sentence_encoder_words_are_searched_with_a_warning() {
    let (folder, _) = with_index();
    let search = |mode: &str| {
        Command::new(cargo_bin_cmd!("unprompt").get_program())
            .current_dir(folder.path())
            .args(["search", "x.idx", "wizard", "--json", "--mode", mode])
            // Nothing is there, and nothing answers.
            .env("UNPROMPT_MODELS", folder.path().join("none"))
            .env("XDG_CACHE_HOME", folder.path().join("none"))
            .env("HF_HOME", folder.path().join("none"))
            .env("HF_ENDPOINT", "http://127.0.0.1:9")
            .env("PATH", "")
            .output()
            .unwrap()
    };
    let hybrid = search("hybrid");
    let said = String::from_utf8(hybrid.stderr).unwrap();
    assert!(hybrid.status.success(), "{said}");
    assert!(said.contains("keywords alone"), "{said}");
    let answer: Value = serde_json::from_slice(&hybrid.stdout).unwrap();
    assert_eq!(answer["hits"].as_array().unwrap().len(), 1);
    assert!(
        answer["warning"]
            .as_str()
            .unwrap()
            .contains("keywords alone")
    );
    assert_eq!(search("vector").status.code(), Some(1));
}

#[test]
fn fusion_is_settable_and_checked() {
    let (folder, _) = with_index();
    let at = folder.path();
    let scores = |arguments: [&str; 4]| {
        let [a, b, c, d] = arguments;
        let said = unprompt(at, ["search", "x.idx", "red cat", "--json", a, b, c, d]).ok();
        json_lines(&said)[0]["hits"][0]["score"].as_f64().unwrap()
    };
    // First by both: 2 / (k + 1).
    assert!((scores(["--fusion", "rrf", "--rrf-k", "9"]) - 0.2).abs() < 1e-6);
    assert!(scores(["--fusion", "weighted", "--vector-weight", "0.7"]) > 0.5);
    for (wrong, why) in [
        (["--rrf-k", "0"], "above 0"),
        (["--vector-weight", "2"], "from 0 to 1"),
        (["-k", "-1"], "-1"),
    ] {
        let search = ["search", "x.idx", "cat"].into_iter().chain(wrong);
        let said = unprompt(at, search).failed(2);
        assert!(said.contains(why) && said.contains(wrong[0]), "{said}");
    }
}

/// Starts a build, waits until something has been embedded, and sends it a signal.
#[cfg(unix)]
fn stopped(at: &Path, signal: &str) -> std::process::ExitStatus {
    let mut child = Command::new(cargo_bin_cmd!("unprompt").get_program())
        .current_dir(at)
        .args(["index", "build", "pocket:20000", "--out", "y.idx", "-q"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let shards = || {
        let staging = fs::read_dir(at.join("y.idx/staging")).ok()?;
        let encoder = staging.flatten().next()?.path();
        let files = fs::read_dir(encoder).ok()?.flatten();
        Some(
            files
                .filter(|file| file.file_name() != "unfinished")
                .count(),
        )
    };
    let before = shards().unwrap_or(0);
    while shards().unwrap_or(0) <= before {
        assert!(
            started.elapsed() < Duration::from_secs(240),
            "nothing is staged"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(kill.unwrap().success());
    child.wait().unwrap()
}

/// Interrupted or killed in the middle, a build leaves nothing that opens, and the same command then
/// goes on without embedding anything twice.
#[cfg(unix)]
#[test]
fn a_build_that_is_stopped_leaves_no_index_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for signal in ["INT", "KILL"] {
        let status = stopped(at, signal);
        assert!(!status.success());
        if signal == "INT" {
            assert_eq!(status.code(), Some(1));
        }
        unprompt(at, ["search", "y.idx", "cat", "--mode", "keyword"]).failed(1);
    }
    let run = unprompt(at, ["index", "build", "pocket:2500", "--out", "y.idx"]);
    assert!(
        run.stderr.contains("embedded prompts here"),
        "{}",
        run.stderr
    );
    run.ok();
    unprompt(at, ["index", "check", "y.idx"]).ok();
    assert!(!at.join("y.idx/staging").exists());
}
