//! Folders of images as a source, and searches that lead back to their files.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{json_lines, unprompt};

/// A grey picture, with AUTOMATIC1111's text if there is a prompt.
fn write_png(path: &Path, prompt: Option<&str>) {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Grayscale);
    if let Some(prompt) = prompt {
        let settings = "Steps: 25, Sampler: DPM++ 2M, CFG scale: 7, Seed: 5, Model: DreamShaper_8";
        let text = format!("{prompt}\nNegative prompt: bad\n{settings}");
        encoder
            .add_text_chunk("parameters".to_owned(), text)
            .unwrap();
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[99; 64 * 64]).unwrap();
    drop(writer);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A gallery of a fox, two owls and a picture of unknown prompt, and an index of it.
fn gallery() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    write_png(&at.join("g/fox.png"), Some("a red fox in the snow"));
    write_png(&at.join("g/night/owl.png"), Some("an owl at dusk"));
    write_png(&at.join("g/night/owl 2.png"), Some("an owl at dusk"));
    write_png(&at.join("g/unknown.png"), None);
    let said = unprompt(
        &at,
        ["index", "build", "g", "--out", "g.idx", "--threads", "2"],
    )
    .ok();
    let expected =
        "2 prompts with 3 images from 3 rows (1 without a prompt, 0 unreadable) in g.idx\n";
    assert_eq!(said, expected);
    (folder, at)
}

/// The paths that a search prints, sorted, without the folder.
fn paths(at: &Path, arguments: &[&str]) -> Vec<String> {
    let search = ["search", "g.idx", "--paths"];
    let said = unprompt(at, search.iter().chain(arguments).copied()).ok();
    let relative = |line: &str| {
        let path = Path::new(line).strip_prefix(at).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut found: Vec<String> = said.lines().map(relative).collect();
    found.sort();
    found
}

fn add(at: &Path, arguments: &[&str]) -> String {
    let add = ["index", "add", "g.idx", "g"];
    unprompt(at, add.iter().chain(arguments).copied()).ok()
}

#[test]
fn files_are_found_by_text_by_settings_and_by_one_of_them() {
    let (_folder, at) = gallery();
    let owls = ["g/night/owl 2.png", "g/night/owl.png"];
    let keyword = ["--mode", "keyword"];
    assert_eq!(paths(&at, &[&["owl"], &keyword[..]].concat()), owls);
    assert_eq!(paths(&at, &["an owl", "-k", "1"]), owls);
    let all = "steps:[20 TO 30] AND sampler:\"dpm++ 2m\" AND model:dreamshaper* AND -predicted:*";
    assert_eq!(paths(&at, &["fox", "--filter", all]).len(), 3);
    for none in ["steps:26", "sampler:dpm", "model:sdxl*", "predicted:*"] {
        let filter = format!("{all} AND {none}");
        assert!(
            paths(&at, &["fox", "--filter", &filter]).is_empty(),
            "{none}"
        );
    }

    // Without a text, all that matches.
    assert_eq!(paths(&at, &["--filter", all]).len(), 3);
    assert_eq!(paths(&at, &["--filter", "prompt:owl"]), owls);
    let said = unprompt(&at, ["search", "g.idx", "--filter", "prompt:owl"]).ok();
    assert!(
        said.contains("owl 2.png") && said.contains("prompt:owl"),
        "{said}"
    );
    unprompt(&at, ["search", "g.idx", "--mode", "keyword"]).failed(2);

    // The other image of its prompt comes first.
    let like = ["--like", "g/night/../night/owl.png"];
    assert_eq!(paths(&at, &like), ["g/fox.png", "g/night/owl 2.png"]);
    let like = [&like[..], &["-k", "1"]].concat();
    assert_eq!(paths(&at, &like), ["g/night/owl 2.png"]);
    let fox = ["--like", "g/fox.png", "--mode", "vector"];
    assert_eq!(paths(&at, &fox), owls);
    // The image that was asked about takes no place.
    let first = [&fox[..], &["-k", "1"]].concat();
    assert_eq!(paths(&at, &first).len(), owls.len());
    let second = [&first[..], &["--offset", "1"]].concat();
    assert_eq!(paths(&at, &second).len(), 0);
    let search = ["search", "g.idx", "fox", "--paths", "-0", "-k", "1"];
    let said = unprompt(&at, search).ok();
    assert_eq!(said, format!("{}\0", at.join("g/fox.png").display()));
    let elsewhere = at.join("x.png");
    write_png(&elsewhere, Some("an owl at dusk"));
    assert_eq!(paths(&at, &["--like", "x.png", "-k", "1"]), owls);
    let refused = unprompt(&at, ["search", "g.idx", "--like", "g/unknown.png"]).failed(1);
    assert!(refused.contains("unprompt reverse"), "{refused}");
    let refused = unprompt(&at, ["search", "g.idx", "--like", "absent.png"]).failed(1);
    assert!(
        refused.contains("absent.png is no image of the index"),
        "{refused}"
    );
}

#[test]
fn an_addition_follows_what_became_of_the_files() {
    let (_folder, at) = gallery();
    let said = add(&at, &["--prune"]);
    assert!(
        said.starts_with("0 new prompts and 0 new images from 0 rows (1 without a prompt, 0 unreadable, 3 unchanged"),
        "{said}"
    );
    // One gets another prompt, one moves, one goes.
    write_png(&at.join("g/fox.png"), Some("two red foxes in the snow"));
    fs::rename(at.join("g/night/owl.png"), at.join("g/owl.png")).unwrap();
    fs::remove_file(at.join("g/night/owl 2.png")).unwrap();
    let said = add(&at, &[]);
    assert!(said.contains("2 prompts with 4 images"), "{said}");
    let said = add(&at, &["--prune"]);
    assert!(
        said.starts_with("0 new prompts and 0 new images, 2 images removed"),
        "{said}"
    );
    let all = ["fox", "owl", "--mode", "keyword"];
    assert_eq!(paths(&at, &all), ["g/fox.png", "g/owl.png"]);
    let said = unprompt(&at, ["search", "g.idx", "red", "--json"]).ok();
    let hits = json_lines(&said)[0]["hits"].as_array().unwrap().clone();
    let prompts: Vec<&str> = hits
        .iter()
        .map(|hit| hit["prompt"].as_str().unwrap())
        .collect();
    assert_eq!(prompts, ["two red foxes in the snow", "an owl at dusk"]);
    // A prompt that is taken out of its file is forgotten.
    write_png(&at.join("g/fox.png"), None);
    let said = add(&at, &[]);
    assert!(said.contains("1 images removed"), "{said}");
    assert!(said.contains("1 prompts with 1 images"), "{said}");
    let check = unprompt(&at, ["index", "check", "g.idx"]);
    assert_eq!(check.status, 0);
}

#[test]
fn unknown_prompts_are_predicted_where_asked_for_and_marked() {
    let (_folder, at) = gallery();
    let said = add(&at, &["--predict", "--threads", "1"]);
    assert!(
        said.starts_with("0 new prompts and 1 new images, 1 with a predicted prompt"),
        "{said}"
    );
    let predicted = ["snow", "owl", "--filter", "predicted:*"];
    let found = paths(&at, &predicted);
    assert!(
        found.iter().all(|name| name == "g/unknown.png"),
        "{found:?}"
    );
    assert!(!found.is_empty());
    let said = add(&at, &["--predict", "--threads", "1"]);
    assert!(said.contains("4 unchanged files"), "{said}");
    let listed = unprompt(&at, ["-v", "index", "add", "g.idx", "g/unknown.png"]);
    assert!(!listed.stderr.contains("no prompt in"), "{}", listed.stderr);
    write_png(&at.join("g/more.png"), None);
    let listed = unprompt(&at, ["-v", "index", "add", "g.idx", "g"]);
    assert!(listed.stderr.contains("no prompt in"), "{}", listed.stderr);
    assert!(listed.stderr.contains("g/more.png"), "{}", listed.stderr);
}

#[test]
fn predictions_stay_when_only_the_time_changes_and_are_no_evidence() {
    let (_folder, at) = gallery();
    add(&at, &["--predict"]);
    let unknown = at.join("g/unknown.png");
    let later = fs::File::options().write(true).open(&unknown).unwrap();
    later
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let said = add(&at, &[]);
    assert!(said.contains("0 new images from 0 rows"), "{said}");
    let predicted = ["snow", "owl", "--filter", "predicted:*"];
    assert!(!paths(&at, &predicted).is_empty());
    let said = add(&at, &["--predict", "--threads", "1"]);
    assert!(said.contains("1 with a predicted prompt"), "{said}");
    let said = add(&at, &["--predict", "--threads", "1"]);
    assert!(said.contains("4 unchanged files"), "{said}");
    let reversed = unprompt(&at, ["reverse", "g.idx", "g/unknown.png", "--json"]).ok();
    let hits = json_lines(&reversed)[0]["hits"].as_array().unwrap().clone();
    assert_eq!(hits.len(), 2, "the prompts of the gallery alone");
}

#[test]
fn folders_that_are_emptied_or_gone_can_be_pruned() {
    let (_folder, at) = gallery();
    fs::create_dir(at.join("other")).unwrap();
    fs::rename(at.join("g/night/owl.png"), at.join("other/owl.png")).unwrap();
    fs::remove_dir_all(at.join("g/night")).unwrap();
    fs::remove_file(at.join("g/fox.png")).unwrap();
    fs::remove_file(at.join("g/unknown.png")).unwrap();
    let run = |arguments: &[&str]| {
        let add = ["index", "add", "g.idx"];
        unprompt(&at, add.iter().chain(arguments).copied())
    };
    let said = run(&["g/night", "--prune"]).ok();
    assert!(said.contains("2 images removed"), "{said}");
    let said = run(&["other"]).ok();
    assert!(said.contains("1 new prompts and 1 new images"), "{said}");
    let said = run(&["g", "--prune"]).ok();
    assert!(said.contains("1 images removed"), "{said}");
    assert_eq!(paths(&at, &["owl"]), ["other/owl.png"]);
    let refused = run(&["typed-wrongly", "--prune"]).failed(1);
    assert!(refused.contains("typed-wrongly"), "{refused}");
}

#[test]
fn a_gallery_without_prompts_makes_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_png(&at.join("g/a.png"), None);
    fs::write(at.join("g/b.png"), "x").unwrap();
    let said = unprompt(at, ["index", "build", "g", "--out", "g.idx"]).failed(1);
    assert!(
        said.contains("no prompts in g (1 without one, 1 unreadable): nothing to index"),
        "{said}"
    );
    assert!(!at.join("g.idx").exists());
}
