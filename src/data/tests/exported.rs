//! Files of `index export` that other tools have written again (tests/exported/make.py).

use std::path::Path;

use super::{ReadOptions, rows_of};
use crate::data::row::Row;
use crate::error::Error;

fn rows(tool: &str) -> Vec<Row> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exported");
    let path = folder.join(format!("{tool}.parquet"));
    let (mut rows, summary) = rows_of(&path, &ReadOptions::default()).unwrap();
    assert_eq!((summary.empty, summary.invalid), (0, 0), "{tool}");
    // Exported by number, which is by chance.
    let name = |row: &Row| row.image.as_ref().map(|it| it.image_name.clone());
    rows.sort_by_key(|row| (row.prompt.clone(), name(row)));
    rows
}

#[test]
fn prompts_vectors_and_images_are_those_that_were_exported() {
    for tool in ["pandas", "duckdb", "polars"] {
        let rows = rows(tool);
        let prompts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
        let (fox, owl) = ("a red fox in the snow", "an owl at dusk");
        assert_eq!(
            prompts,
            ["a lighthouse in a storm", fox, fox, owl],
            "{tool}"
        );
        for row in &rows {
            let vector = row.vector.as_ref().unwrap();
            let length: f32 = vector.iter().map(|it| it * it).sum();
            assert!(vector.len() == 384 && (length - 1.0).abs() < 1e-3, "{tool}");
        }
        assert_eq!(rows[1].vector, rows[2].vector);
        let image = |row: usize| rows[row].image.clone().unwrap_or_default();
        assert_eq!(image(0).timestamp, Some(1_660_977_360_000), "{tool}");
        assert_eq!(
            (image(1).image_name.as_str(), image(1).seed),
            ("1.png", Some(7))
        );
        assert_eq!(
            (image(1).cfg, image(1).sampler.as_deref()),
            (Some(7.5), Some("k_lms"))
        );
        assert_eq!(
            (image(2).image_name.as_str(), image(2).seed),
            ("2.png", Some(8))
        );
        assert_eq!(rows[3].image, None, "{tool}");
    }
}

#[test]
fn vectors_of_another_length_are_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exported/duckdb.parquet");
    let options = ReadOptions {
        dim: Some(512),
        ..ReadOptions::default()
    };
    let error = rows_of(&path, &options).unwrap_err();
    assert!(
        matches!(
            error,
            Error::VectorDim {
                found: 384,
                expected: 512,
                ..
            }
        ),
        "{error}"
    );
}
