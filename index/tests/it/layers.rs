//! A module imports only from modules that `lib.rs` lists above it.

use std::fs;
use std::path::Path;

use crate::util::files;

#[test]
fn modules_import_downwards_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
    let order: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    assert!(order.len() > 10, "{order:?}");
    let place = |name: &str| order.iter().position(|module| *module == name);
    let mut imports = 0;
    for file in files(&src) {
        let within = file
            .strip_prefix(&src)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let module = within.split(['/', '.']).next().unwrap();
        let Some(own) = place(module) else { continue };
        let text = fs::read_to_string(&file).unwrap();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for import in line.split("crate::").skip(1) {
                let name = import
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next();
                if let Some(other) = place(name.unwrap()) {
                    imports += 1;
                    assert!(other <= own, "{within} imports upwards: {line}");
                }
            }
        }
    }
    assert!(imports > 30, "only {imports} imports seen");
}
