//! DiffusionDB's parts, one at a time.

use std::fs::File;
use std::io::{Cursor, Write};
use std::path::Path;

use unprompt_index::ImageRecord;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{ReadOptions, error, file, rows, rows_of};
use crate::data::row::Row;
use crate::error::{Error, one_line};

/// A part as published, of two images.
pub(super) const PART: &str = r#"{
    "f3501e05.png": {"p": "geodesic landscape, 4 k, ", "se": 38753269, "c": 12.0, "st": 50, "sa": "k_lms"},
    "a00bdeaa.png": {"p": "a cat", "se": 4294967295, "c": 7, "st": 10, "sa": 1}
}"#;

/// A zip file of `entries`.
pub(super) fn zipped(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn deflated(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zipped(entries, CompressionMethod::Deflated)
}

fn refused(name: &str, content: impl AsRef<[u8]>) -> String {
    one_line(&error(name, content, &ReadOptions::default()))
}

#[test]
fn a_part_describes_its_images() {
    let (rows, summary) = rows("part-000017.json", PART);
    let expected = Row {
        prompt: "geodesic landscape, 4 k,".to_owned(),
        image: Some(ImageRecord {
            image_name: "f3501e05.png".to_owned(),
            part_id: Some(17),
            seed: Some(38_753_269),
            step: Some(50),
            cfg: Some(12.0),
            sampler: Some("k_lms".to_owned()),
            ..ImageRecord::default()
        }),
        vector: None,
    };
    assert_eq!((rows.len(), &rows[0]), (2, &expected));
    let second = rows[1].image.as_ref().unwrap();
    assert_eq!(second.seed, Some(4_294_967_295));
    assert_eq!(second.sampler.as_deref(), Some("ddim"));
    assert_eq!((summary.empty, summary.invalid), (0, 0));
    let (rows, _) = self::rows("other.json", PART);
    assert_eq!(rows[0].image.as_ref().unwrap().part_id, None);
}

#[test]
fn images_without_a_prompt_and_of_one_name_are_counted() {
    let long = "x".repeat((1 << 20) + 1);
    let content = format!(
        r#"{{"1.png": {{"p": "a", "se": -1}}, "2.png": {{"p": ""}}, "3.png": {{"p": null}},
            "4.png": {{"se": 1}}, "5.png": {{"p": 7}}, "6.png": "a", "7.png": {{"p": "{long}"}},
            "1.png": {{"p": "b"}}}}"#
    );
    let (rows, summary) = rows("part-000001.json", content);
    let prompts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
    assert_eq!(prompts, ["a", "b"]);
    assert_eq!(rows[0].image.as_ref().unwrap().seed, None);
    assert_eq!((summary.empty, summary.invalid), (3, 3));
    for (problem, end) in summary.problems.iter().zip([
        "part-000001.json:5: the prompt is no text",
        "part-000001.json:6: the image is no object",
        "part-000001.json:7: the prompt is longer than 1 MiB",
    ]) {
        assert!(problem.ends_with(end), "{problem}");
    }
    assert!(summary.notes[0].contains("the first is 1.png"));
}

#[test]
fn of_a_zip_file_only_the_json_is_read() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let zip = zipped(
            &[
                ("f3501e05.png", b"no image"),
                ("__MACOSX/._part-000003.json", b"no json"),
                ("part-000003.json", PART.as_bytes()),
                ("notes.json", b"no json"),
            ],
            method,
        );
        let (rows, summary) = rows("part-000003.zip", zip);
        assert_eq!((rows.len(), summary.invalid), (2, 0));
        assert_eq!(rows[0].image.as_ref().unwrap().part_id, Some(3));
    }
}

#[test]
fn the_zip_file_tells_the_part_where_the_json_does_not() {
    let zip = deflated(&[("images/list.json", PART.as_bytes())]);
    let (rows, _) = rows("part-000004.zip", zip);
    assert_eq!(rows[0].image.as_ref().unwrap().part_id, Some(4));
}

#[test]
fn a_zip_file_may_hold_several_parts() {
    let zip = deflated(&[
        ("images/part-000002/part-000002.json", PART.as_bytes()),
        ("images/part-000001/part-000001.json", PART.as_bytes()),
    ]);
    let (_folder, path) = file("parts.zip", zip);
    let part = |row: &Row| row.image.as_ref().unwrap().part_id.unwrap();
    for limit in [1, 2, 3, 9] {
        let options = ReadOptions {
            limit: Some(limit),
            ..ReadOptions::default()
        };
        let (rows, _) = rows_of(&path, &options).unwrap();
        let parts: Vec<u32> = rows.iter().map(part).collect();
        assert_eq!(parts, [1, 1, 2, 2][..limit.min(4)]);
    }
}

#[test]
fn what_is_no_part_is_refused() {
    for json in [
        "",
        "[1, 2]",
        "7",
        "{\"1.png\": {\"p\": \"a\"",
        "{} {}",
        "\u{0}",
    ] {
        let message = refused("part-000001.json", json);
        assert!(message.contains("DiffusionDB part"), "{message}");
        let message = refused("p.zip", deflated(&[("p.json", json.as_bytes())]));
        assert!(message.contains("DiffusionDB part"), "{message}");
    }
    assert!(refused("p.json", "[1]").contains("an object with the name of an image"));
    assert!(refused("p.json", r#"{"a": 1, "b": 2}"#).contains("none of the 2 rows"));
    assert!(refused("p.zip", "no zip").contains("p.zip: invalid Zip archive"));
    for entries in [
        vec![("1.png", b"x" as &[u8])],
        vec![],
        vec![("a.json", b"{}"), ("b.json", b"{}")],
    ] {
        let message = refused("part-000001.zip", deflated(&entries));
        assert!(message.contains("it holds no part-*.json"), "{message}");
    }
}

#[test]
fn damaged_zip_files_are_errors_and_no_panic() {
    let zip = deflated(&[
        ("1.png", b"no image"),
        ("part-000001.json", PART.as_bytes()),
    ]);
    let (_folder, path) = file("part-000001.zip", &zip);
    for len in (0..zip.len()).step_by(7) {
        std::fs::write(&path, &zip[..len]).unwrap();
        let error = rows_of(&path, &ReadOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Part { .. }), "{error}");
    }
    for at in 0..zip.len() {
        let mut damaged = zip.clone();
        damaged[at] ^= 0x81;
        std::fs::write(&path, &damaged).unwrap();
        // What was changed may mean nothing: any answer will do.
        let _ = rows_of(&path, &ReadOptions::default());
    }
}

/// A zip file whose JSON is `front`, then `mib` MiB of blanks.
fn bomb(path: &Path, front: &[u8], mib: usize) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    let options = SimpleFileOptions::default().compression_level(Some(1));
    zip.start_file("part-000001.json", options).unwrap();
    zip.write_all(front).unwrap();
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..mib {
        zip.write_all(&blanks).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn zip_files_that_unpack_without_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-000001.zip");
    bomb(&path, b"{\"1.png\": {\"p\": \"", 20);
    assert!(path.metadata().unwrap().len() < 1 << 20);
    let error = rows_of(&path, &ReadOptions::default()).unwrap_err();
    assert!(
        one_line(&error).contains("more than 8 MiB"),
        "{}",
        one_line(&error)
    );
}
