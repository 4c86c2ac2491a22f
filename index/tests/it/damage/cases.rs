//! Ways to damage a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A damaged file.
pub(super) struct Case {
    pub(super) what: String,
    /// None, if it is missing.
    bytes: Option<Vec<u8>>,
}

impl Case {
    fn new(what: impl Into<String>, bytes: Vec<u8>) -> Case {
        Case {
            what: what.into(),
            bytes: Some(bytes),
        }
    }

    pub(super) fn write(&self, file: &Path) {
        match &self.bytes {
            Some(bytes) => fs::write(file, bytes).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
    }
}

/// Files of the same kind: those that have the same name, or, of tantivy's, the same ending, in
/// the same place of another segment.
pub(super) fn peers(name: &str, files: &BTreeMap<String, Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    let kind = |name: &str| {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let file = file.split('-').next().unwrap_or(file);
        let ending = file.rsplit('.').next().unwrap_or(file);
        let folder = folder.rsplit('/').next().unwrap_or(folder);
        (
            folder.replace(|c: char| c.is_ascii_digit(), "0"),
            ending.to_owned(),
        )
    };
    let like = |other: &&String| kind(other) == kind(name) && *other != name;
    let named = files.keys().filter(like);
    named
        .map(|other| (other.clone(), files[other].clone()))
        .collect()
}

/// At least `count` cases, fewer only of an empty file.
pub(super) fn cases(
    good: &[u8],
    peers: &[(String, Vec<u8>)],
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Case> {
    let len = good.len();
    let mut cases = vec![
        Case {
            what: "missing".into(),
            bytes: None,
        },
        Case::new("longer by a byte", [good, b"x"].concat()),
        Case::new("longer by zeros", [good, &[0; 4096]].concat()),
        Case::new("twice", [good, good].concat()),
        Case::new("all zeros", vec![0; len]),
        Case::new("all ones", vec![0xff; len]),
        Case::new("noise", (0..len).map(|_| rng.random()).collect()),
    ];
    for (name, bytes) in peers {
        cases.push(Case::new(format!("holds {name}"), bytes.clone()));
    }
    let ends = [0, 1, 2, 4, 8, 15, 16, 63, 64, 65, 127, 128, 129];
    let ends = ends
        .iter()
        .flat_map(|&end| [end, len.saturating_sub(end), len / 2 + end]);
    for end in ends
        .filter(|&end| end < len)
        .collect::<std::collections::BTreeSet<_>>()
    {
        cases.push(Case::new(
            format!("cut to {end} bytes"),
            good[..end].to_vec(),
        ));
    }
    cases.retain(|case| case.bytes.as_deref() != Some(good));
    while cases.len() < count && len > 0 {
        let case = random(good, rng);
        if case.bytes.as_deref() != Some(good) {
            cases.push(case);
        }
    }
    cases
}

fn random(good: &[u8], rng: &mut ChaCha8Rng) -> Case {
    let len = good.len();
    // What gives the rest its meaning stands at the ends.
    let near = |rng: &mut ChaCha8Rng| match rng.random_range(0..4) {
        0 => rng.random_range(0..len.min(128)),
        1 => len - 1 - rng.random_range(0..len.min(256)),
        _ => rng.random_range(0..len),
    };
    let at = near(rng);
    let mut bad = good.to_vec();
    let mut put = |new: &[u8]| {
        let end = len.min(at + new.len());
        bad[at..end].copy_from_slice(&new[..end - at]);
    };
    let what = match rng.random_range(0..12) {
        0 => {
            bad.truncate(at);
            format!("cut to {at} bytes")
        }
        1 => {
            let size = rng.random_range(1..=64);
            put(&vec![0; size]);
            format!("{size} zeros at {at}")
        }
        2 => {
            let size = rng.random_range(1..=64);
            let noise: Vec<u8> = (0..size).map(|_| rng.random()).collect();
            put(&noise);
            format!("noise {noise:?} at {at}")
        }
        3 => {
            let numbers = [
                u64::MAX,
                0x7fff_ffff_ffff_ffff,
                0x7fff_ffff,
                0x8080_8080_8080_8000,
                1 << 40,
                1 << 33,
            ];
            let number = numbers[rng.random_range(0..numbers.len())];
            let size = [1, 2, 4, 8][rng.random_range(0..4)];
            put(&number.to_le_bytes()[..size]);
            format!("{size} bytes of {number:#x} at {at}")
        }
        4 => {
            let byte = rng.random();
            put(&[byte]);
            format!("byte {byte} at {at}")
        }
        5 => {
            let from = near(rng);
            bad[from..].rotate_left(1);
            format!("shifted by a byte from {from}")
        }
        _ => {
            let bit = rng.random_range(0..8);
            bad[at] ^= 1 << bit;
            format!("bit {bit} flipped at {at}")
        }
    };
    Case::new(what, bad)
}
