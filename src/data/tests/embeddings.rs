//! Prompts with their vectors, as clip-retrieval leaves them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};
use parquet::basic::Compression;
use tempfile::TempDir;

use super::npy::npy_f32;
use super::parquet::write;
use super::{ReadOptions, Summary, rows_of};
use crate::error::{Error, Result, one_line};

const X: &[f32] = &[1.0, 0.0];
const Y: &[f32] = &[0.0, 1.0];

/// Captions in `metadata`, a Parquet file, and vectors in `vectors`.
fn pair(folder: &Path, metadata: &str, captions: &[Option<&str>], vectors: &str, rows: &[&[f32]]) {
    let (metadata, vectors) = (folder.join(metadata), folder.join(vectors));
    for path in [&metadata, &vectors] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
    let captions: ArrayRef = Arc::new(StringArray::from(captions.to_vec()));
    write(&metadata, &[("caption", captions)], Compression::SNAPPY);
    fs::write(vectors, npy_f32(rows)).unwrap();
}

/// A prompt and its vector.
type Embedded = (String, Vec<f32>);

fn read(folder: &TempDir, dim: Option<usize>) -> Result<(Vec<Embedded>, Summary)> {
    let options = ReadOptions {
        dim,
        ..ReadOptions::default()
    };
    let (rows, summary) = rows_of(folder.path(), &options)?;
    let rows = rows
        .into_iter()
        .map(|row| (row.prompt, row.vector.unwrap()));
    Ok((rows.collect(), summary))
}

fn refused(folder: &TempDir, dim: Option<usize>) -> String {
    one_line(&read(folder, dim).unwrap_err())
}

fn row(prompt: &str, vector: &[f32]) -> Embedded {
    (prompt.to_owned(), vector.to_vec())
}

#[test]
fn each_caption_has_the_vector_of_its_row() {
    for (metadata, vectors) in [("metadata/", "text_emb/"), ("", "")] {
        let folder = tempfile::tempdir().unwrap();
        let captions = [Some("a"), None, Some("c"), Some("d"), Some("e")];
        pair(
            folder.path(),
            &format!("{metadata}metadata_0.parquet"),
            &captions,
            &format!("{vectors}text_emb_00000.npy"),
            &[X, Y, Y, &[0.0, 0.0], X],
        );
        pair(
            folder.path(),
            &format!("{metadata}metadata_10.parquet"),
            &[Some("last")],
            &format!("{vectors}text_emb_10.npy"),
            &[X],
        );
        pair(
            folder.path(),
            &format!("{metadata}metadata_9.parquet"),
            &[Some("f")],
            &format!("{vectors}text_emb_9.npy"),
            &[Y],
        );
        let images = folder.path().join("img_emb");
        fs::create_dir(&images).unwrap();
        fs::write(images.join("img_emb_0.npy"), "not looked at").unwrap();
        let (rows, summary) = read(&folder, Some(2)).unwrap();
        assert_eq!(
            rows,
            [
                row("a", X),
                row("c", Y),
                row("e", X),
                row("f", Y),
                row("last", X)
            ]
        );
        assert_eq!((summary.empty, summary.invalid), (1, 1));
        assert!(summary.problems[0].ends_with("metadata_0.parquet:4: its vector is zero"));
        assert!(summary.missing.is_empty(), "{:?}", summary.missing);
    }
}

#[test]
fn files_without_a_partner_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    for number in [0, 1, 2] {
        pair(
            folder.path(),
            &format!("metadata/metadata_{number}.parquet"),
            &[Some("a")],
            &format!("text_emb/text_emb_{number}.npy"),
            &[X],
        );
    }
    fs::remove_file(folder.path().join("metadata/metadata_1.parquet")).unwrap();
    fs::remove_file(folder.path().join("text_emb/text_emb_2.npy")).unwrap();
    let (rows, summary) = read(&folder, None).unwrap();
    assert_eq!(rows.len(), 1);
    assert!(summary.missing[0].ends_with("text_emb_1.npy: no metadata_*.parquet has its number"));
    assert!(summary.missing[1].ends_with("metadata_2.parquet: no text_emb_*.npy has its number"));
    fs::remove_file(folder.path().join("text_emb/text_emb_0.npy")).unwrap();
    let message = refused(&folder, None);
    assert!(
        message.contains("2 metadata_*.parquet and 1 text_emb_*.npy"),
        "{message}"
    );
    fs::remove_file(folder.path().join("text_emb/text_emb_1.npy")).unwrap();
    let message = refused(&folder, None);
    assert!(
        message.contains("name the .parquet files themselves"),
        "{message}"
    );
}

#[test]
fn captions_alone_are_a_folder_of_data_files() {
    let folder = tempfile::tempdir().unwrap();
    pair(
        folder.path(),
        "metadata_0.parquet",
        &[Some("a")],
        "img_emb_0.npy",
        &[X],
    );
    let (rows, _) = rows_of(folder.path(), &ReadOptions::default()).unwrap();
    assert_eq!((rows[0].prompt.as_str(), &rows[0].vector), ("a", &None));
}

#[test]
fn other_numbers_of_rows_and_columns_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let captions = [Some("a"), Some("b")];
    pair(
        folder.path(),
        "metadata_0.parquet",
        &captions,
        "text_emb_0.npy",
        &[X, Y],
    );
    let error = read(&folder, Some(384)).unwrap_err();
    assert!(matches!(error, Error::VectorDim { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message
            .ends_with("text_emb_0.npy: vectors of 2 numbers, but the index holds vectors of 384"),
        "{message}"
    );
    pair(
        folder.path(),
        "metadata_1.parquet",
        &captions,
        "text_emb_1.npy",
        &[X],
    );
    pair(
        folder.path(),
        "metadata_2.parquet",
        &[Some("c")],
        "text_emb_2.npy",
        &[&[1.0]],
    );
    let (rows, summary) = read(&folder, None).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(summary.missing[0].contains("text_emb_1.npy has 1 vectors"));
    assert!(summary.missing[0].contains("metadata_1.parquet has 2 rows"));
    assert!(summary.missing[1].contains("vectors of 1 numbers, but the file before it holds"));
    for number in [0, 2] {
        fs::remove_file(folder.path().join(format!("text_emb_{number}.npy"))).unwrap();
    }
    let message = refused(&folder, Some(2));
    assert!(message.contains("they do not belong together"), "{message}");
}

#[test]
fn vectors_none_of_which_has_length_one_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    pair(
        folder.path(),
        "metadata_0.parquet",
        &[Some("a"), Some("b")],
        "text_emb_0.npy",
        &[&[3.0, 4.0], &[5.0, 12.0]],
    );
    let message = refused(&folder, None);
    assert!(
        message.contains("its vector has the length 13.000, not 1"),
        "{message}"
    );
}
