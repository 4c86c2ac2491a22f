//! The same functions on random damage of valid bytes, and on what fuzzing has found.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const SEED: u64 = 7;

/// Runs `target` on the seeds themselves, and on `count` damaged copies.
fn run(target: impl Fn(&[u8]), seeds: &[Vec<u8>], count: u64) {
    for number in 0..count {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED << 32 | number);
        let mut bytes = seeds[number as usize % seeds.len()].clone();
        if number >= seeds.len() as u64 {
            for _ in 0..rng.random_range(1..6) {
                damage(&mut bytes, &mut rng);
            }
        }
        let done = crate::panics::catch_panic(|| target(&bytes));
        assert!(done.is_some(), "seed {SEED}, input {number}: {bytes:?}");
    }
}

fn damage(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..=bytes.len());
    let end = bytes.len().min(at + rng.random_range(0..9));
    match rng.random_range(0..6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, rng.random()),
        2 => drop(bytes.drain(at..end)),
        3 => bytes[at..end].fill([0, 0xff][rng.random_range(0..2)]),
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = rng.random_range(0..=bytes.len());
            bytes.splice(to..to, copy);
        }
        _ => bytes[at..end]
            .iter_mut()
            .for_each(|byte| *byte ^= 1 << rng.random_range(0..8)),
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    (0..len).map(|_| rng.random()).collect()
}

#[test]
fn no_graph_ends_in_a_panic() {
    let mut file = Vec::new();
    links(&mut Numbers(&noise(2000)))
        .write_to(&mut file)
        .unwrap();
    run(graph, &[file, noise(2000), Vec::new()], 6000);
}

#[test]
fn no_vectors_end_in_a_panic() {
    let short = flat::file(&[1.0, 0.0, 0.0, 0.0, 0.6, 0.8], 3, Element::F32);
    let whole = flat::file(&[0.1; 200], 100, Element::F32);
    let rounded = flat::file(&[0.1; 200], 100, Element::F16);
    run(
        vectors,
        &[short, whole, rounded, noise(500), Vec::new()],
        8000,
    );
}

#[test]
fn no_manifest_ends_in_a_panic() {
    let body = br#"{"generation": 3, "encoder": {"name": "e", "digest": "d", "dim": 4},
        "next_segment": 8, "segments": [{"number": 7, "prompts": 10, "images": 3,
        "files": [{"path": "vectors", "len": 9, "xxh3": "00"}, {"path": "graph", "len": 9,
        "xxh3": "00"}], "deleted": {"prompts": 2, "images": 1, "file": {"path":
        "deleted-000002", "len": 1, "xxh3": "00"}}}]}"#;
    run(manifest, &[body.to_vec()], 6000);
}

#[test]
fn no_deletions_end_in_a_panic() {
    let some = Deleted {
        prompts: (0..3000).chain((70_000..90_000).step_by(3)).collect(),
        images: [1, 9].into_iter().collect(),
        tokens: 12,
    };
    let few = Deleted {
        prompts: (5..9).collect(),
        ..Deleted::default()
    };
    run(deleted, &[some.to_bytes(), few.to_bytes()], 6000);
}

#[test]
fn no_filter_ends_in_a_panic() {
    let texts = [
        "cfg:[7 TO 12] AND sampler:k_lms AND -prompt:anime",
        "timestamp:{2022-08-01 TO *} (fox OR \"red fox\"~2) NOT seed: IN [1 2 3]^2",
        "((a b) OR -c) image_nsfw:<=0.5 step:>3 width:*",
    ];
    let seeds = texts.map(|text| text.as_bytes().to_vec());
    run(|bytes| drop(filter(bytes)), &seeds, 4000);
}

#[test]
fn no_changes_end_in_a_panic() {
    run(changes, &[noise(60), noise(40), noise(20)], 60);
}
