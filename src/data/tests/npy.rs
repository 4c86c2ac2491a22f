//! NumPy files, written as NumPy writes them.

use std::path::{Path, PathBuf};

use half::f16;
use tempfile::TempDir;

use crate::data::npy::Npy;
use crate::error::Error;

/// A file of format `version` with that header, padded as NumPy does, and then `data`.
pub(super) fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let front = if version == 1 { 10 } else { 12 };
    let mut header = header.to_owned();
    while !(front + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let len = u32::try_from(header.len()).unwrap().to_le_bytes();
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    bytes.extend(&len[..if version == 1 { 2 } else { 4 }]);
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Rows of numbers as `<f4`.
pub(super) fn npy_f32(rows: &[&[f32]]) -> Vec<u8> {
    let data: Vec<u8> = rows
        .concat()
        .into_iter()
        .flat_map(f32::to_le_bytes)
        .collect();
    npy(1, &header("<f4", rows.len(), rows[0].len()), &data)
}

fn header(descr: &str, rows: usize, dim: usize) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}")
}

fn file(content: &[u8]) -> (TempDir, PathBuf) {
    super::file("text_emb_0.npy", content)
}

fn why(content: &[u8]) -> String {
    let (_folder, path) = file(content);
    match Npy::open(&path) {
        Err(Error::Npy { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

fn rows(path: &Path) -> Vec<Result<Vec<f32>, String>> {
    let mut npy = Npy::open(path).unwrap();
    (0..npy.rows()).map(|_| npy.next_row().unwrap()).collect()
}

#[test]
fn every_version_and_type_is_read() {
    let values = [0.6, -0.8, 0.0, 1.0];
    let f2 = values
        .map(|value| f16::from_f64(value).to_le_bytes())
        .concat();
    let f4 = values.map(|value| (value as f32).to_le_bytes()).concat();
    let f8 = values.map(f64::to_le_bytes).concat();
    for version in [1, 2, 3] {
        for (descr, data) in [("<f2", &f2), ("<f4", &f4), ("<f8", &f8)] {
            let (_folder, path) = file(&npy(version, &header(descr, 2, 2), data));
            let rows = rows(&path);
            assert_eq!(rows.len(), 2);
            for (found, expected) in rows.iter().zip([[0.6, -0.8], [0.0, 1.0]]) {
                let found = found.as_ref().unwrap();
                let length: f32 = found.iter().map(|value| value * value).sum();
                assert!((length - 1.0).abs() < 1e-6, "{length}");
                for (found, expected) in found.iter().zip(expected) {
                    // Half a unit in the last place of f16.
                    assert!((found - expected).abs() < 5e-4, "{descr} {found}");
                }
            }
        }
    }
}

#[test]
fn headers_are_read_in_any_order_and_of_any_age() {
    let data = npy_f32(&[&[1.0, 0.0]]);
    let data = &data[data.len() - 8..];
    for header in [
        "{'shape': (1, 2), 'fortran_order': False, 'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 2L), }",
        "{'descr':'<f4','fortran_order':False,'shape':(1,2)}",
    ] {
        let (_folder, path) = file(&npy(1, header, data));
        assert_eq!(rows(&path), [Ok(vec![1.0, 0.0])]);
    }
}

#[test]
fn vectors_that_are_no_unit_vectors_are_told_apart() {
    let (_folder, path) = file(&npy_f32(&[
        &[1.005, 0.0],
        &[0.0, 0.0],
        &[f32::NAN, 1.0],
        &[f32::INFINITY, 1.0],
        &[3.0, 4.0],
        &[0.98, 0.0],
    ]));
    let rows = rows(&path);
    assert_eq!(rows[0], Ok(vec![1.0, 0.0]));
    let why: Vec<&str> = rows[1..]
        .iter()
        .map(|row| row.as_ref().unwrap_err().as_str())
        .collect();
    assert_eq!(
        why,
        [
            "its vector is zero",
            "its vector holds a value that is no number",
            "its vector holds a value that is no number",
            "its vector has the length 5.000, not 1",
            "its vector has the length 0.980, not 1",
        ]
    );
}

#[test]
fn other_arrays_are_refused() {
    for (descr, says) in [(">f4", "only <f2"), ("<i8", "only <f2"), ("|O", "only <f2")] {
        assert!(why(&npy(1, &header(descr, 1, 1), &[0; 4])).contains(says));
    }
    let fortran = "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }";
    assert!(why(&npy(1, fortran, &[0; 4])).contains("Fortran"));
    for shape in ["(1,)", "()", "(1, 1, 1)"] {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        assert!(why(&npy(1, &header, &[0; 4])).contains("rows, columns"));
    }
    assert!(why(&npy(1, &header("<f4", 1, 0), &[])).contains("0 numbers"));
    assert!(why(&npy(1, &header("<f4", 1, 1 << 40), &[])).contains("numbers"));
    let records = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1), }";
    assert!(why(&npy(1, records, &[0; 4])).contains("its header is"));
}

#[test]
fn damaged_files_are_errors_and_no_panic() {
    let whole = npy_f32(&[&[1.0, 0.0], &[0.0, 1.0]]);
    for len in 0..whole.len() {
        why(&whole[..len]);
    }
    why(&[&whole[..], b"x"].concat());
    assert!(why(&npy(1, &header("<f4", usize::MAX, 1 << 16), &[])).contains("is it whole?"));
    assert!(why(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{").contains("no header"));
    for at in 0..whole.len() {
        for bit in [1, 0x80] {
            let mut damaged = whole.clone();
            damaged[at] ^= bit;
            let (_folder, path) = file(&damaged);
            // What was changed may mean nothing, or a value: any answer will do.
            if let Ok(mut npy) = Npy::open(&path) {
                let _ = npy.next_row();
            }
        }
    }
}
