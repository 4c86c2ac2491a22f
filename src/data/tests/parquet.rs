//! Parquet files with DiffusionDB's thirteen columns, and such as other tools write.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, DictionaryArray, Float32Array, Float64Array, Int64Array,
    LargeStringArray, ListArray, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use unprompt_index::ImageRecord;

use super::{ReadOptions, Summary, column, rows_of};
use crate::data::row::Row;
use crate::error::Error;

const MS: i64 = 1_660_977_360_000;

pub(super) fn write(path: &Path, columns: &[(&str, ArrayRef)], compression: Compression) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .iter()
            .map(|(name, array)| (*name, Arc::clone(array), true)),
    )
    .unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn file(columns: &[(&str, ArrayRef)]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.parquet");
    write(&path, columns, Compression::SNAPPY);
    (folder, path)
}

fn rows(columns: &[(&str, ArrayRef)]) -> (Vec<Row>, Summary) {
    let (_folder, path) = file(columns);
    rows_of(&path, &ReadOptions::default()).unwrap()
}

/// Three rows in DiffusionDB's form; the second has neither prompt nor time.
fn diffusiondb() -> Vec<(&'static str, ArrayRef)> {
    let prompts = [Some("a cat, 4 k "), None, Some("a \u{732b}")];
    let times = TimestampMillisecondArray::from(vec![Some(MS), None, Some(0)]);
    vec![
        (
            "image_name",
            Arc::new(StringArray::from(vec!["1.png", "2.png", "3.png"])),
        ),
        ("prompt", Arc::new(StringArray::from(prompts.to_vec()))),
        ("part_id", Arc::new(UInt16Array::from(vec![1, 1, 65535]))),
        (
            "seed",
            Arc::new(UInt32Array::from(vec![38_753_269, 2, u32::MAX])),
        ),
        ("step", Arc::new(UInt16Array::from(vec![50, 10, 20]))),
        (
            "cfg",
            Arc::new(Float32Array::from(vec![12.0, 7.5, f32::NAN])),
        ),
        ("sampler", Arc::new(UInt8Array::from(vec![8, 9, 77]))),
        ("width", Arc::new(UInt16Array::from(vec![512, 512, 704]))),
        ("height", Arc::new(UInt16Array::from(vec![512, 512, 448]))),
        (
            "user_name",
            Arc::new(StringArray::from(vec!["u", "u", "u"])),
        ),
        ("timestamp", Arc::new(times.with_timezone("UTC"))),
        (
            "image_nsfw",
            Arc::new(Float32Array::from(vec![2.0, 0.5, 0.25])),
        ),
        (
            "prompt_nsfw",
            Arc::new(Float32Array::from(vec![0.0, 0.5, 1.0])),
        ),
    ]
}

#[test]
fn diffusiondb_rows_are_read_whole() {
    let (rows, summary) = rows(&diffusiondb());
    assert_eq!((summary.rows, summary.empty, summary.invalid), (2, 1, 0));
    let expected = Row {
        prompt: "a cat, 4 k".to_owned(),
        image: Some(ImageRecord {
            image_name: "1.png".to_owned(),
            part_id: Some(1),
            seed: Some(38_753_269),
            step: Some(50),
            cfg: Some(12.0),
            sampler: Some("k_lms".to_owned()),
            width: Some(512),
            height: Some(512),
            image_nsfw: Some(2.0),
            prompt_nsfw: Some(0.0),
            timestamp: Some(MS),
            ..ImageRecord::default()
        }),
        vector: None,
    };
    assert_eq!(rows[0], expected);
    let last = rows[1].image.as_ref().unwrap();
    assert_eq!(last.seed, Some(4_294_967_295));
    assert_eq!((last.cfg, &last.sampler), (None, &None));
    assert_eq!(last.timestamp, Some(0));
}

#[test]
fn texts_of_every_type_are_read() {
    let texts = ["a", "b", "a"];
    let binary: Vec<Option<&[u8]>> = vec![Some(b"a"), Some(b"b"), Some(b"a")];
    let arrays: [ArrayRef; 5] = [
        Arc::new(StringArray::from(texts.to_vec())),
        Arc::new(LargeStringArray::from(texts.to_vec())),
        Arc::new(StringViewArray::from(texts.to_vec())),
        Arc::new(DictionaryArray::<Int32Type>::from_iter(texts)),
        Arc::new(BinaryArray::from(binary)),
    ];
    for array in arrays {
        let name = array.data_type().to_string();
        let (rows, _) = rows(&[("prompt", array)]);
        let prompts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
        assert_eq!(prompts, texts, "{name}");
    }
}

#[test]
fn times_of_every_unit_become_milliseconds() {
    let arrays: [ArrayRef; 6] = [
        Arc::new(TimestampSecondArray::from(vec![MS / 1000])),
        Arc::new(TimestampMillisecondArray::from(vec![MS])),
        Arc::new(TimestampMicrosecondArray::from(vec![MS * 1000])),
        Arc::new(TimestampNanosecondArray::from(vec![MS * 1_000_000]).with_timezone("UTC")),
        Arc::new(Int64Array::from(vec![MS])),
        Arc::new(StringArray::from(vec!["2022-08-20T06:36:00Z"])),
    ];
    for array in arrays {
        let name = array.data_type().to_string();
        let (rows, _) = rows(&[
            ("timestamp", array),
            ("image_name", Arc::new(StringArray::from(vec!["1.png"]))),
            ("prompt", Arc::new(StringArray::from(vec!["a"]))),
        ]);
        let image = rows[0].image.as_ref().unwrap();
        assert_eq!(image.timestamp, Some(MS), "{name}");
    }
}

#[test]
fn numbers_of_other_widths_are_read_and_those_out_of_range_are_unknown() {
    let (rows, _) = rows(&[
        ("prompt", Arc::new(StringArray::from(vec!["a"; 3]))),
        ("image_name", Arc::new(StringArray::from(vec!["1.png"; 3]))),
        ("seed", Arc::new(Int64Array::from(vec![5, -1, i64::MAX]))),
        ("part_id", Arc::new(Int64Array::from(vec![5, -1, i64::MAX]))),
        ("steps", Arc::new(Float64Array::from(vec![50.0, 0.5, 1e30]))),
        (
            "sampler",
            Arc::new(StringArray::from(vec!["k_lms", "3", ""])),
        ),
    ]);
    let image = |row: usize| rows[row].image.clone().unwrap();
    assert_eq!((image(0).seed, image(0).part_id), (Some(5), Some(5)));
    assert_eq!(image(0).step, Some(50));
    assert_eq!(
        (image(1).seed, image(1).part_id, image(1).step),
        (None, None, None)
    );
    assert_eq!(image(2).seed, Some(i64::MAX as u64));
    assert_eq!((image(2).part_id, image(2).step), (None, None));
    let samplers = [0, 1, 2].map(|row| image(row).sampler);
    assert_eq!(
        samplers.each_ref().map(|sampler| sampler.as_deref()),
        [Some("k_lms"), Some("k_euler"), None]
    );
}

#[test]
fn rows_go_on_over_batches_and_stop_at_the_limit() {
    let prompts: Vec<String> = (0..3000).map(|number| format!("prompt {number}")).collect();
    let (_folder, path) = file(&[("prompt", Arc::new(StringArray::from(prompts)))]);
    for (limit, expected) in [(None, 3000), (Some(2000), 2000), (Some(0), 0)] {
        let options = ReadOptions {
            limit,
            ..ReadOptions::default()
        };
        let (rows, _) = rows_of(&path, &options).unwrap();
        assert_eq!(rows.len(), expected);
        if let Some(last) = rows.last() {
            assert_eq!(last.prompt, format!("prompt {}", expected - 1));
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_counted_by_row() {
    let bytes: Vec<Option<&[u8]>> = vec![Some(b"a"), None, Some(b"\xff")];
    let (rows, summary) = rows(&[("prompt", Arc::new(BinaryArray::from(bytes)))]);
    assert_eq!((rows.len(), summary.empty, summary.invalid), (1, 1, 1));
    assert!(summary.problems[0].ends_with("metadata.parquet:3: no UTF-8"));
}

#[test]
fn missing_and_wrong_columns_are_errors() {
    let (_folder, path) = file(&[
        ("words", Arc::new(StringArray::from(vec!["a"]))),
        ("seed", Arc::new(Int64Array::from(vec![1]))),
    ]);
    let message = rows_of(&path, &ReadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains("words, seed"), "{message}");
    let error = rows_of(&path, &column("seed")).unwrap_err();
    assert!(matches!(error, Error::TextColumn { .. }), "{error}");
    assert!(error.to_string().contains("Int64"), "{error}");
    let (rows, _) = rows_of(&path, &column("words")).unwrap();
    assert_eq!(rows[0].prompt, "a");
}

#[test]
fn links_to_images_have_captions_under_any_case() {
    let (_folder, path) = file(&[
        ("SAMPLE_ID", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        (
            "URL",
            Arc::new(StringArray::from(vec!["https://a/1.jpg"; 3])),
        ),
        (
            "TEXT",
            Arc::new(StringArray::from(vec![Some("a cat"), None, Some(" ")])),
        ),
        ("width", Arc::new(Int64Array::from(vec![1, 2, 3]))),
    ]);
    for options in [ReadOptions::default(), column("TEXT")] {
        let (rows, summary) = rows_of(&path, &options).unwrap();
        assert_eq!((rows.len(), summary.empty), (1, 2));
        assert_eq!((rows[0].prompt.as_str(), &rows[0].image), ("a cat", &None));
        assert!(summary.notes.is_empty(), "{:?}", summary.notes);
    }
}

#[test]
fn lists_are_no_prompts() {
    let lists =
        ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), Some(2)]), None]);
    let (_folder, path) = file(&[("prompt", Arc::new(lists))]);
    let message = rows_of(&path, &ReadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains("holds List(Int32), not text"), "{message}");
}

#[test]
fn settings_without_a_column_of_names_are_noted() {
    let (rows, summary) = rows(&[
        ("prompt", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("seed", Arc::new(Int64Array::from(vec![Some(1), None]))),
    ]);
    assert_eq!((rows.len(), summary.notes.len()), (2, 1));
    assert!(
        summary.notes[0].starts_with("1 rows"),
        "{:?}",
        summary.notes
    );
}

#[test]
fn damaged_files_are_errors_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.parquet");
    write(&path, &diffusiondb(), Compression::SNAPPY);
    let whole = std::fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(31).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..len]).unwrap();
        let error = rows_of(&path, &ReadOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Parquet { .. }), "{error}");
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x81;
        std::fs::write(&path, &damaged).unwrap();
        // What was changed may mean nothing, or a value: any answer will do.
        let _ = rows_of(&path, &ReadOptions::default());
    }
}
