//! A MANIFEST with the right checksum that says what is not so: no commit writes one, but whoever
//! repairs an index by hand might.

use std::fs;

use serde_json::{Value, json};
use unprompt_index::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::asks::ask;
use super::sample::Sample;
use super::writes::CHANGES;
use super::{names, untouched};

fn edited(sample: &Sample, edit: impl Fn(&mut Value)) -> Vec<u8> {
    let text = str::from_utf8(&sample.files["MANIFEST"]).unwrap();
    let (_, body) = text.split_once('\n').unwrap();
    let mut manifest: Value = serde_json::from_str(body).unwrap();
    edit(&mut manifest);
    let body = serde_json::to_string_pretty(&manifest).unwrap();
    let sum = xxh3_64(body.as_bytes());
    format!("unprompt-index 1 {sum:016x}\n{body}").into_bytes()
}

/// One edited copy in so many is also changed.
const EDITS_PER_CHANGE: usize = 5;

/// Numbers that are put in the place of each number, one after the other.
const NUMBERS: [u64; 9] = [0, 1, 2, 5, 99, 1 << 31, 1 << 32, 1 << 40, u64::MAX];

/// Strings that are put in the place of each string.
const TEXTS: [&str; 9] = [
    "",
    "..",
    "../000002/vectors",
    "/etc/passwd",
    "vectors",
    "prompts/meta.json",
    "deleted-000001",
    "0000000000000000",
    "\u{0}\n",
];

/// Every place in a tree, as a path of keys and indexes.
fn places(value: &Value, at: &str, places: &mut Vec<String>) {
    places.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                self::places(value, &format!("{at}/{key}"), places);
            }
        }
        Value::Array(values) => {
            for (place, value) in values.iter().enumerate() {
                self::places(value, &format!("{at}/{place}"), places);
            }
        }
        _ => {}
    }
}

/// Values that take the place of another.
fn others(value: &Value) -> Vec<Value> {
    let mut others = match value {
        Value::Number(_) => NUMBERS.map(|number| json!(number)).to_vec(),
        Value::String(_) => TEXTS.map(|text| json!(text)).to_vec(),
        Value::Array(values) => {
            let (mut fewer, mut twice) = (values.clone(), values.clone());
            fewer.pop();
            twice.extend(values.clone());
            let backwards = values.iter().rev().cloned().collect();
            vec![
                json!([]),
                Value::Array(fewer),
                Value::Array(twice),
                backwards,
            ]
        }
        Value::Object(_) => vec![json!({})],
        _ => Vec::new(),
    };
    others.push(Value::Null);
    others.retain(|other| other != value);
    others
}

/// Every value of the MANIFEST is exchanged for others, one at a time.
#[test]
fn a_manifest_that_is_not_so_gives_an_error_or_answers_and_destroys_nothing() {
    let sample = Sample::new();
    let good = ask(&sample.dir);
    let text = str::from_utf8(&sample.files["MANIFEST"]).unwrap();
    let manifest: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    let mut all = Vec::new();
    places(&manifest, "", &mut all);
    let (mut errors, mut answers) = (0usize, 0usize);
    for place in &all {
        for other in others(manifest.pointer(place).unwrap()) {
            let what = format!("MANIFEST with {other} at `{place}`");
            let bytes = edited(&sample, |manifest| {
                *manifest.pointer_mut(place).unwrap() = other.clone();
            });
            fs::write(sample.dir.join("MANIFEST"), &bytes).unwrap();
            let found = ask(&sample.dir);
            match found.errors.first() {
                Some(Error::NoSuchEntry { .. } | Error::Dim { .. }) => answers += 1,
                Some(error) => {
                    // Of what contradicts the MANIFEST, the other side may be named.
                    names(error, &sample.dir, &sample.dir.join("MANIFEST"), &what);
                    errors += 1;
                }
                None => answers += 1,
            }
            let number = errors + answers;
            if !number.is_multiple_of(EDITS_PER_CHANGE) {
                continue;
            }
            let copy = sample.copy();
            fs::write(copy.dir.join("MANIFEST"), &bytes).unwrap();
            if let Err(error) = CHANGES[number / EDITS_PER_CHANGE % CHANGES.len()](&copy.dir) {
                assert!(!error.to_string().contains('\n'), "{what}: {error}");
                if found.errors.is_empty() {
                    untouched(&sample, &copy.dir, "MANIFEST", &what);
                }
            }
        }
    }
    println!("{answers} edited copies answered, {errors} gave an error");
    assert!(errors > answers);
    sample.restore("MANIFEST");
    assert_eq!(ask(&sample.dir), good);
}
