//! Modules import only from those above them in `lib.rs`.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), into);
        }
    } else {
        into.push(path.to_owned());
    }
}

#[test]
fn imports_go_upwards_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
    let modules: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    assert!(modules.len() > 8, "{modules:?}");
    let mut files = vec![];
    sources(&src, &mut files);
    for file in files {
        let within = file
            .strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let own = within.split(['/', '.']).next().unwrap();
        let Some(place) = modules.iter().position(|module| *module == own) else {
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("\nmod tests {").next().unwrap();
        for below in &modules[place + 1..] {
            let upward = format!("crate::{below}");
            let is_whole = |(at, _): (usize, &str)| {
                let next = code[at + upward.len()..].chars().next();
                !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
            };
            assert!(
                !code.match_indices(&upward).any(is_whole) && !code.contains("use crate::{"),
                "{within} imports {below}, which stands below it"
            );
        }
    }
}
