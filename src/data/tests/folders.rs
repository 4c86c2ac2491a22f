//! Folders of every kind, found out by what lies in them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::StringArray;
use parquet::basic::Compression;
use tempfile::TempDir;
use zip::CompressionMethod;

use super::parquet::write;
use super::parts::{PART, zipped};
use super::{ReadOptions, Summary, rows_of};
use crate::error::one_line;

/// A folder of files with their contents; folders on the way are made.
pub(super) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// Prompts, parts and what became of the source.
fn read(path: &Path) -> (Vec<String>, Vec<Option<u32>>, Summary) {
    let (rows, summary) = rows_of(path, &ReadOptions::default()).unwrap();
    let parts = rows
        .iter()
        .map(|row| row.image.as_ref().and_then(|image| image.part_id))
        .collect();
    let prompts = rows.into_iter().map(|row| row.prompt).collect();
    (prompts, parts, summary)
}

fn refused(path: &Path) -> String {
    one_line(&rows_of(path, &ReadOptions::default()).unwrap_err())
}

fn part(prompt: &str) -> String {
    format!(r#"{{"{prompt}.png": {{"p": "{prompt}"}}}}"#)
}

fn zipped_part(number: u32, prompt: &str) -> Vec<u8> {
    let name = format!("part-{number:06}.json");
    zipped(
        &[("1.png", b"x"), (&name, part(prompt).as_bytes())],
        CompressionMethod::Deflated,
    )
}

fn parquet_of(path: &Path, prompts: &[&str]) {
    let prompts = StringArray::from(prompts.to_vec());
    write(path, &[("prompt", Arc::new(prompts))], Compression::SNAPPY);
}

#[test]
fn parts_are_found_where_the_dataset_puts_them() {
    for prefix in ["", "images/", "diffusiondb-large-part-2/"] {
        let in_part = |name: &str| format!("{prefix}part-000002/{name}");
        let folder = folder(&[
            (&in_part("part-000002.json"), PART.as_bytes()),
            (&in_part("f3501e05.png"), b"x"),
            (
                &format!("{prefix}part-000001/part-000001.json"),
                part("first").as_bytes(),
            ),
            ("README.md", b"x"),
        ]);
        let (prompts, parts, summary) = read(folder.path());
        assert_eq!(prompts, ["first", "geodesic landscape, 4 k,", "a cat"]);
        assert_eq!(parts, [Some(1), Some(2), Some(2)]);
        assert_eq!((summary.missing.len(), summary.notes.len()), (0, 0));
        let one = folder.path().join(prefix).join("part-000002");
        assert_eq!(read(&one).1, [Some(2), Some(2)]);
    }
}

#[test]
fn a_part_that_was_renamed_is_known_by_its_only_json() {
    let folder = folder(&[("part-000005/list.json", part("a").as_bytes())]);
    assert_eq!(read(folder.path()).0, ["a"]);
}

#[test]
fn gaps_and_parts_without_json_are_reported() {
    let folder = folder(&[
        ("images/part-000002/part-000002.json", part("b").as_bytes()),
        ("images/part-000004/1.png", b"x"),
        (
            "images/part-000003.old/part-000003.json",
            part("c").as_bytes(),
        ),
        ("images/part-000009/part-000009.json", part("i").as_bytes()),
    ]);
    let (prompts, _, summary) = read(folder.path());
    assert_eq!(prompts, ["b", "i"]);
    assert!(summary.missing[0].ends_with("part-000004: no part-000004.json in it"));
    assert!(
        summary.missing[1].ends_with(
            "images: 5 parts between the first and the last are not there: part-000003, \
             part-000005 to part-000008"
        ),
        "{:?}",
        summary.missing
    );
}

#[test]
fn zip_files_are_read_where_nothing_is_unpacked() {
    let folder = folder(&[
        ("part-000001.zip", &zipped_part(1, "a")),
        ("part-000002.zip", &zipped_part(2, "zipped")),
        ("part-000002/part-000002.json", part("unpacked").as_bytes()),
        ("part-000003.zip", &zipped_part(3, "c")),
        ("part-000003/1.png", b"x"),
    ]);
    let (prompts, parts, summary) = read(folder.path());
    assert_eq!(prompts, ["a", "unpacked", "c"]);
    assert_eq!(parts, [Some(1), Some(2), Some(3)]);
    assert!(summary.missing.is_empty(), "{:?}", summary.missing);
}

#[test]
fn a_broken_part_is_reported_and_the_rest_goes_on() {
    let whole = zipped_part(1, "a");
    let no_json = zipped(&[("1.png", b"x")], CompressionMethod::Stored);
    let broken = zipped(
        &[("part-000003.json", b"{\"1.png\"")],
        CompressionMethod::Stored,
    );
    let folder = folder(&[
        ("part-000001.zip", &whole[..whole.len() / 2]),
        ("part-000002.zip", &no_json),
        ("part-000003.zip", &broken),
        ("part-000004.zip", b""),
        ("part-000005/part-000005.json", b"{\"a\": 1}"),
        ("part-000006.zip", &zipped_part(6, "f")),
    ]);
    let (prompts, _, summary) = read(folder.path());
    assert_eq!(prompts, ["f"]);
    assert_eq!(summary.missing.len(), 5, "{:?}", summary.missing);
    for (number, line) in (1..).zip(&summary.missing) {
        assert!(line.contains(&format!("part-00000{number}")), "{line}");
    }
    fs::remove_file(folder.path().join("part-000006.zip")).unwrap();
    let message = refused(folder.path());
    assert!(
        message.starts_with("none of the 5 data files of"),
        "{message}"
    );
    assert!(message.contains("part-000001.zip"), "{message}");
}

#[test]
fn a_table_of_all_images_stands_for_the_parts() {
    let folder = folder(&[(
        "images/part-000001/part-000001.json",
        part("part").as_bytes(),
    )]);
    parquet_of(&folder.path().join("metadata.parquet"), &["small"]);
    let (prompts, _, summary) = read(folder.path());
    assert_eq!(
        (prompts.as_slice(), summary.missing.len()),
        (["small".to_owned()].as_slice(), 0)
    );
    assert!(
        summary.notes[0]
            .ends_with(": read metadata.parquet, which describes all images; not read: 1 part"),
        "{:?}",
        summary.notes
    );
    parquet_of(&folder.path().join("metadata-large.parquet"), &["large"]);
    for unread in ["metadata.parquet, 1 part", "metadata.parquet"] {
        let (prompts, _, summary) = read(folder.path());
        assert_eq!(prompts, ["large"]);
        assert!(summary.notes[0].contains("read metadata-large.parquet"));
        let rest = format!("not read: {unread}");
        assert!(summary.notes[0].ends_with(&rest), "{:?}", summary.notes);
        let _ = fs::remove_dir_all(folder.path().join("images"));
    }
}

#[test]
fn other_folders_give_the_rows_of_their_data_files_in_order() {
    let folder = folder(&[
        ("b.txt", b"b\n"),
        ("a.csv", b"prompt\na\n"),
        ("c.JSONL", b"\"c\"\n"),
        ("d.txt", b"\xff\xfed\0"),
        ("e.csv", b"words\ne\n"),
        ("list.json", b"[]"),
        ("1.md", b"x"),
        (".hidden.txt", b"no\n"),
        ("sub/f.txt", b"no\n"),
    ]);
    let (prompts, _, summary) = read(folder.path());
    assert_eq!(prompts, ["a", "b", "c"]);
    assert!(
        summary.notes[0].ends_with("reading its data files: a.csv, b.txt, c.JSONL, d.txt, e.csv")
    );
    assert_eq!(summary.missing.len(), 2, "{:?}", summary.missing);
    assert!(summary.missing[0].contains("UTF-16"));
    assert!(summary.missing[1].contains("has no column prompt"));
}

#[test]
fn the_limit_is_that_of_the_whole_folder() {
    let folder = folder(&[
        ("a.txt", b"1\n2\n"),
        ("b.txt", b"3\n4\n"),
        ("c.txt", b"\xff\n"),
    ]);
    for limit in 0..5 {
        let options = ReadOptions {
            limit: Some(limit),
            ..ReadOptions::default()
        };
        let (rows, summary) = rows_of(folder.path(), &options).unwrap();
        assert_eq!((rows.len(), summary.missing.len()), (limit, 0));
    }
}

#[test]
fn folders_without_prompts_say_what_was_looked_for() {
    let message = refused(folder(&[]).path());
    assert!(
        message.contains("part-*") && message.contains(".tsv"),
        "{message}"
    );
    assert!(message.ends_with("found nothing"), "{message}");
    let message = refused(folder(&[("a.doc", b"x"), ("sub/a.txt", b"x")]).path());
    assert!(message.ends_with("found sub, a.doc"), "{message}");
}
