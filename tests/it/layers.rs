//! Modules import only from those above them in `lib.rs`.

use std::fs;
use std::path::Path;

fn modules(lib: &str) -> Vec<String> {
    lib.lines()
        .map(|line| line.strip_prefix("pub ").unwrap_or(line))
        .filter_map(|line| {
            line.strip_prefix("mod ")?
                .strip_suffix(';')
                .map(str::to_owned)
        })
        .collect()
}

fn sources(path: &Path, into: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), into);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        into.push(fs::read_to_string(path).unwrap());
    }
}

#[test]
fn imports_go_upwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules = modules(&fs::read_to_string(root.join("lib.rs")).unwrap());
    assert!(modules.len() > 10, "{modules:?}");
    for (place, module) in modules.iter().enumerate() {
        let mut texts = vec![];
        for path in [root.join(format!("{module}.rs")), root.join(module)] {
            if path.exists() {
                sources(&path, &mut texts);
            }
        }
        assert!(!texts.is_empty(), "{module} has no sources");
        for text in &texts {
            // Tests may look anywhere.
            let code = text.split("\nmod tests {").next().unwrap_or_default();
            for line in code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                for other in &modules[place + 1..] {
                    let upward = format!("crate::{other}");
                    assert!(
                        !line.contains("use crate::{"),
                        "{module}: one import a line: {line}"
                    );
                    assert!(
                        !line.contains(&upward),
                        "{module} imports {other}, which stands below it: {line}"
                    );
                }
            }
        }
    }
}
