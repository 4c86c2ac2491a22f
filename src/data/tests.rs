//! Files of every form are written to a folder of their own and read back.

mod embeddings;
mod exported;
mod folders;
mod gallery;
mod npy;
mod pairs;
mod parquet;
mod parts;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::read::{MAX_PROMPT_BYTES, ReadOptions, Summary, read};
use super::row::Row;
use crate::error::{Error, Result};

/// A file of that name and content, in a folder that is removed with the first value.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn rows_of(path: &Path, options: &ReadOptions) -> Result<(Vec<Row>, Summary)> {
    let mut rows = Vec::new();
    let summary = read(path, options, &mut |row: Row| {
        rows.push(row);
        ControlFlow::Continue(())
    })?;
    assert_eq!(summary.rows, rows.len());
    Ok((rows, summary))
}

fn rows(name: &str, content: impl AsRef<[u8]>) -> (Vec<Row>, Summary) {
    let (_folder, path) = file(name, content);
    rows_of(&path, &ReadOptions::default()).unwrap()
}

fn prompts(name: &str, content: impl AsRef<[u8]>) -> Vec<String> {
    let (rows, _) = rows(name, content);
    rows.into_iter().map(|row| row.prompt).collect()
}

fn error(name: &str, content: impl AsRef<[u8]>, options: &ReadOptions) -> Error {
    let (_folder, path) = file(name, content);
    rows_of(&path, options).unwrap_err()
}

fn column(name: &str) -> ReadOptions {
    ReadOptions {
        text_column: Some(name.to_owned()),
        ..ReadOptions::default()
    }
}

#[test]
fn text_files_hold_a_prompt_a_line() {
    let content = "\u{feff}a cat\r\n\n  a dog, \u{732b} \n\t\nlast";
    let (rows, summary) = rows("prompts.TXT", content);
    let prompts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
    assert_eq!(prompts, ["a cat", "a dog, \u{732b}", "last"]);
    assert!(rows.iter().all(|row| row.image.is_none()));
    assert_eq!((summary.empty, summary.invalid), (2, 0));
    assert!(self::prompts("none.txt", "").is_empty());
}

#[test]
fn unreadable_lines_are_counted_and_described() {
    let mut content = b"a\n\xff\nb\n".to_vec();
    content.extend(b"c".repeat(MAX_PROMPT_BYTES + 1));
    content.push(b'\n');
    content.extend(b"d".repeat(MAX_PROMPT_BYTES * 9));
    content.extend(b"\ne\n");
    content.extend(b"\xfe\n".repeat(9));
    let (rows, summary) = rows("prompts.txt", content);
    let prompts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
    assert_eq!(prompts, ["a", "b", "e"]);
    assert_eq!(summary.invalid, 12);
    assert_eq!(summary.problems.len(), 5);
    for (problem, end) in summary.problems.iter().zip([
        "prompts.txt:2: no UTF-8",
        "prompts.txt:4: the prompt is longer than 1 MiB",
        "prompts.txt:5: the line is longer than 8 MiB",
        "prompts.txt:7: no UTF-8",
    ]) {
        assert!(problem.ends_with(end), "{problem}");
    }
}

#[test]
fn the_longest_line_is_known_whole_at_the_end_of_the_file() {
    let mut content = b" ".repeat(8 << 20);
    content[0] = b'a';
    assert_eq!(prompts("prompts.txt", &content), ["a"]);
    content.push(b'b');
    let error = error("prompts.txt", &content, &ReadOptions::default());
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
}

#[test]
fn json_lines_hold_objects_or_strings() {
    let content = "\u{feff}\"a cat\"\r\n\
        {\"image_name\": \"1.png\", \"prompt\": \" a dog \", \"seed\": 4294967295, \"steps\": 50,\
         \"cfg\": 7.5, \"sampler\": 8, \"width\": -1, \"user_name\": \"x\"}\n\
        {\"prompt\": null}\n\n\
        {\"words\": \"not here\"}\n\
        {\"prompt\": 7}\n\
        {\"prompt\": \"cut\n\
        [\"list\"]\n\
        {\"prompt\": \"a fox\", \"image_name\": \"\"}";
    let (rows, summary) = rows("p.jsonl", content);
    let prompts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
    assert_eq!(prompts, ["a cat", "a dog", "a fox"]);
    let image = rows[1].image.as_ref().unwrap();
    assert_eq!(image.image_name, "1.png");
    assert_eq!(image.seed, Some(4_294_967_295));
    assert_eq!((image.step, image.cfg), (Some(50), Some(7.5)));
    assert_eq!(image.sampler.as_deref(), Some("k_lms"));
    assert_eq!(image.width, None);
    assert_eq!(rows[2].image, None);
    assert_eq!((summary.empty, summary.invalid), (3, 3));
    assert!(summary.problems[0].ends_with("p.jsonl:6: the prompt is no text"));
    assert!(summary.problems[1].contains("p.jsonl:7: broken JSON"));
    assert!(summary.problems[2].contains("p.jsonl:8: neither"));
}

#[test]
fn deep_json_is_an_unreadable_line() {
    let (rows, summary) = rows("p.ndjson", "[".repeat(100_000) + "\n\"a\"");
    assert_eq!((rows.len(), summary.invalid), (1, 1));
}

#[test]
fn tables_have_quotes_marks_and_image_columns() {
    let content = "\u{feff}image_name,prompt,seed,timestamp,image_nsfw,user_name\r\n\
        1.png,\"a \"\"cat\"\",\nasleep\",7,2022-08-20 06:36:00+00:00,2.0,x\r\n\
        2.png,,8,,,\r\n\
        ,a dog,9,,,\r\n\
        3.png,a fox,many,,NaN,\r\n";
    let (rows, summary) = rows("table.csv", content);
    let prompts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
    assert_eq!(prompts, ["a \"cat\",\nasleep", "a dog", "a fox"]);
    assert_eq!((summary.empty, summary.invalid), (1, 0));
    let image = rows[0].image.as_ref().unwrap();
    assert_eq!(image.seed, Some(7));
    assert_eq!(image.timestamp, Some(1_660_977_360_000));
    assert_eq!(image.image_nsfw, Some(2.0));
    assert_eq!(rows[1].image, None);
    let image = rows[2].image.as_ref().unwrap();
    assert_eq!((image.seed, image.image_nsfw), (None, None));
    assert_eq!(
        self::prompts("table.tsv", "id\tprompt\n1\ta, b\n2\t\"c\td\"\n"),
        ["a, b", "c\td"]
    );
}

#[test]
fn records_with_missing_or_more_fields_are_unreadable() {
    let content = b"prompt,seed\na cat, on a mat,1\nalone\nb,2\n\xff,3\nc,\xff\n";
    let (rows, summary) = rows("table.csv", content);
    let prompts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
    assert_eq!(prompts, ["b", "c"]);
    assert_eq!(summary.invalid, 3);
    assert!(
        summary.problems[0].ends_with("table.csv:2: 3 fields where the columns are 2"),
        "{}",
        summary.problems[0]
    );
    assert!(summary.problems[2].ends_with("table.csv:5: no UTF-8"));
}

#[test]
fn a_quote_left_open_ends_with_an_error_and_not_with_all_memory() {
    let content = format!("prompt\nfirst\n\"{}", "word\n".repeat(4 << 20));
    let error = error("table.csv", content, &ReadOptions::default());
    assert!(matches!(error, Error::Table { .. }), "{error}");
    assert!(crate::error::one_line(&error).contains("is a quote left open?"));
}

#[test]
fn the_column_of_prompts_can_be_named() {
    let content = "prompt,text,caption\na,b,c\n";
    let (_folder, path) = file("table.csv", content);
    for (wanted, expected) in [("text", "b"), ("caption", "c")] {
        let (rows, _) = rows_of(&path, &column(wanted)).unwrap();
        assert_eq!(rows[0].prompt, expected);
    }
    assert_eq!(prompts("t.csv", "caption,text\na,b\n"), ["b"]);
    assert_eq!(prompts("t.jsonl", "{\"caption\": \"a\"}"), ["a"]);
}

#[test]
fn a_missing_column_is_an_error_that_names_those_there_are() {
    for (name, content) in [
        ("t.csv", "words,seed\na,1\n"),
        ("t.tsv", "words\tseed\na\t1\n"),
        ("t.jsonl", "{\"words\": \"a\", \"seed\": 1}\n"),
    ] {
        let message = error(name, content, &ReadOptions::default()).to_string();
        assert!(
            message.contains("no column prompt or text or caption"),
            "{message}"
        );
        let there = ["words, seed", "seed, words"];
        assert!(
            there.iter().any(|there| message.contains(there)),
            "{message}"
        );
        let message = error(name, content, &column("other")).to_string();
        assert!(message.contains("no column other"), "{message}");
    }
    let nothing = error("t.csv", "", &ReadOptions::default());
    assert!(matches!(nothing, Error::MissingColumn { .. }), "{nothing}");
}

#[test]
fn other_files_folders_and_missing_files_are_errors() {
    for name in ["prompts", "prompts.doc", ".txt"] {
        let message = error(name, "a", &ReadOptions::default()).to_string();
        assert!(message.contains(".jsonl"), "{message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions::default();
    let found = rows_of(folder.path(), &options).unwrap_err();
    assert!(matches!(found, Error::DataFolder { .. }), "{found}");
    let found = rows_of(&folder.path().join("none.txt"), &options).unwrap_err();
    assert!(matches!(found, Error::Io { .. }), "{found}");
}

#[test]
fn reading_ends_at_the_limit_and_on_request() {
    for (name, content) in [
        ("t.txt", "\na\nb\nc\n\n"),
        ("t.jsonl", "null\n\"a\"\n\"b\"\n\"c\"\n"),
        ("t.csv", "prompt,x\n,\na,\nb,\nc,\n"),
    ] {
        let (_folder, path) = file(name, content);
        for limit in 0..5 {
            let options = ReadOptions {
                limit: Some(limit),
                ..ReadOptions::default()
            };
            let (rows, _) = rows_of(&path, &options).unwrap();
            assert_eq!(rows.len(), limit.min(3), "{name}");
        }
        let mut seen = 0;
        let summary = read(&path, &ReadOptions::default(), &mut |_: Row| {
            seen += 1;
            ControlFlow::Break(())
        });
        assert_eq!((seen, summary.unwrap().rows), (1, 1), "{name}");
    }
}

#[test]
fn json_objects_are_asked_one_by_one() {
    let content = "{\"version\": 1}\n{\"text\": \"a\"}\n{\"prompt\": null, \"caption\": \"b\"}\n\
        {\"Prompt\": \"c\"}\n{\"prompt\": \"d\", \"text\": \"no\"}\n{\"prompt\": null}\n";
    let (rows, summary) = rows("p.jsonl", content);
    let prompts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
    assert_eq!(prompts, ["a", "b", "c", "d"]);
    assert_eq!((summary.empty, summary.invalid), (2, 0));
    let (_folder, path) = file("p.jsonl", content);
    let (rows, summary) = rows_of(&path, &column("text")).unwrap();
    assert_eq!((rows.len(), summary.empty), (2, 4));
}

#[test]
fn settings_without_an_image_name_are_noted_once() {
    for (name, content) in [
        (
            "p.jsonl",
            "{\"prompt\": \"a\", \"seed\": 1}\n{\"prompt\": \"b\", \"cfg\": 7, \"image_name\": \"\"}\n\
             {\"prompt\": \"c\", \"width\": 512}\n{\"prompt\": \"d\", \"seed\": 2, \"image_name\": \"1.png\"}\n",
        ),
        (
            "p.csv",
            "prompt,seed,steps,width,image_name\na,1,,,\nb,,20,,\nc,,,512,\nd,2,,,1.png\n",
        ),
    ] {
        let (rows, summary) = rows(name, content);
        assert_eq!(rows.iter().filter(|row| row.image.is_some()).count(), 1);
        assert_eq!(
            summary.notes,
            ["2 rows describe an image but have no image_name: their settings are left out"]
        );
    }
    assert_eq!(rows("p.csv", "prompt,seed\na,1\n").1.notes.len(), 1);
}

#[test]
fn images_of_one_name_are_kept_and_noted() {
    let content = "prompt,image_name\na,1.png\nb,2.png\nc,2.png\nd,1.png\n";
    let (rows, summary) = rows("p.csv", content);
    assert!(rows.iter().all(|row| row.image.is_some()));
    assert_eq!(
        summary.notes,
        [
            "2 images have the name of one before them, the first is 2.png: of those \
            of one prompt and part the last one stays"
        ]
    );
}

#[test]
fn other_encodings_and_binary_files_are_errors() {
    let utf16: Vec<u8> = "prompt\na cat\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let mut marked = b"\xff\xfe".to_vec();
    marked.extend(&utf16);
    for name in ["p.txt", "p.jsonl", "p.csv", "p.tsv"] {
        let message = error(name, &marked, &ReadOptions::default()).to_string();
        assert!(message.contains("iconv -f UTF-16 -t UTF-8"), "{message}");
        let binary = b"ab\n\x00\x01\xff\ncd\n";
        let error = error(name, binary, &ReadOptions::default());
        assert!(matches!(error, Error::NotText { .. }), "{error}");
    }
    let error = error("p.txt", &utf16, &ReadOptions::default());
    assert!(
        matches!(error, Error::Unreadable { rows: 3, .. }),
        "{error}"
    );
    // One stray byte costs one line, and a character that the buffer's end cuts costs nothing.
    let (rows, summary) = rows("p.txt", "a\0\nb\n");
    assert_eq!((rows.len(), summary.invalid), (1, 1));
    let long = format!("\0\n{}", "\u{732b}".repeat(30_000));
    assert_eq!(prompts("p.txt", &long).len(), 1);
}

#[test]
fn a_file_of_which_nothing_can_be_read_is_an_error_that_says_why() {
    let message = error("p.txt", b"\xff\n\xfe\n\n", &ReadOptions::default()).to_string();
    assert!(message.starts_with("none of the 2 rows of"), "{message}");
    assert!(message.ends_with("p.txt:2: no UTF-8"), "{message}");
    assert!(rows("p.txt", "\n \n").0.is_empty());
}
