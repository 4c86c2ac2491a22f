//! Vectors are stored as numbers of the element that was asked for, until they are written anew.

use std::ops::ControlFlow;
use std::path::Path;

use unprompt_index::{
    BuildOptions, Element, Index, PromptId, VectorOptions, Writer, check, compact,
};

use crate::util::{clustered, commit, encoder};

/// Enough numbers for other elements than f32.
const DIM: usize = 96;
const COUNT: usize = 600;

fn options(element: Element) -> BuildOptions {
    BuildOptions {
        element: Some(element),
        ..BuildOptions::default()
    }
}

fn name(number: usize) -> String {
    format!("prompt {number}")
}

/// How far the vector of any prompt is from the given one, in its largest number.
fn off(index: &Index, given: &[Vec<f32>]) -> f32 {
    let numbers = given.iter().enumerate().flat_map(|(number, given)| {
        let entry = index.find(&PromptId::of(&name(number))).unwrap().unwrap();
        let found = index.vector(entry).unwrap();
        let pairs: Vec<(f32, f32)> = found.into_iter().zip(given.iter().copied()).collect();
        pairs
    });
    numbers.fold(0.0, |off, (found, given)| off.max((found - given).abs()))
}

/// Prompts by the cosine of their rows, and by that of a walk.
fn nearest(index: &Index, query: &[f32]) -> [Vec<String>; 2] {
    [true, false].map(|exact| {
        let options = VectorOptions {
            k: 10,
            ef: Some(100),
            exact,
        };
        let found = index.vector_search(query, &options, None).unwrap();
        let prompts = found.iter().map(|found| index.prompt(found.entry).unwrap());
        prompts.collect()
    })
}

/// Adds the prompts from `first` on.
fn add(dir: &Path, element: Option<Element>, first: usize, vectors: &[Vec<f32>]) -> Index {
    let options = BuildOptions {
        element,
        ..BuildOptions::default()
    };
    let mut writer = match first {
        0 => Writer::create(dir, encoder(DIM), options).unwrap(),
        _ => Writer::open(dir, options).unwrap(),
    };
    for (number, vector) in vectors.iter().enumerate().skip(first) {
        writer.push(&name(number), vector, vec![]).unwrap();
    }
    commit(writer);
    Index::open(dir).unwrap()
}

fn compacted(dir: &Path, element: Element) -> u64 {
    let stats = compact(dir, options(element), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(check(dir).unwrap().damaged.is_empty());
    stats.generation
}

#[test]
fn numbers_are_kept_as_asked_for_and_compacting_changes_them() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("index");
    let mut vectors = clustered(5, COUNT + 1, DIM, 12);
    let query = vectors.pop().unwrap();
    let index = add(&dir, Some(Element::F32), 0, &vectors);
    let whole = index.stats().unwrap();
    assert_eq!(off(&index, &vectors), 0.0);
    let [exact, walked] = nearest(&index, &query);
    assert_eq!(walked, exact);

    assert_eq!(compacted(&dir, Element::F32), whole.generation, "stays");
    let generation = compacted(&dir, Element::F16);
    assert_eq!(generation, whole.generation + 1);
    assert_eq!(compacted(&dir, Element::F16), generation, "stays");

    let index = Index::open(&dir).unwrap();
    let rounded = index.stats().unwrap();
    let saved = (COUNT * DIM * 2) as u64;
    assert_eq!(rounded.bytes.vectors + saved, whole.bytes.vectors);
    let off = off(&index, &vectors);
    // Numbers of unit vectors are up to 1, where f16 has steps of 2^-11 and less.
    assert!(off > 0.0 && off <= 0.5f32.powi(12), "{off}");
    assert_eq!(nearest(&index, &query), [exact.clone(), exact]);
}

#[test]
fn segments_of_either_kind_answer_as_one_and_additions_stay_with_the_last() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("index");
    let mut vectors = clustered(6, COUNT + 1, DIM, 12);
    let query = vectors.pop().unwrap();
    let mut order: Vec<usize> = (0..COUNT).collect();
    let cosine = |vector: &[f32]| -> f32 { vector.iter().zip(&query).map(|(a, b)| a * b).sum() };
    order.sort_by(|&a, &b| cosine(&vectors[b]).total_cmp(&cosine(&vectors[a])));
    let nearest_of_all: Vec<String> = order[..10].iter().copied().map(name).collect();

    let whole = add(&dir, Some(Element::F32), 0, &vectors[..400]);
    let bytes = |index: &Index| index.stats().unwrap().bytes.vectors;
    let kept = bytes(&whole);
    add(&dir, Some(Element::F16), 400, &vectors[..500]);
    let index = add(&dir, None, 500, &vectors);
    assert_eq!(index.stats().unwrap().segments, 2, "200 beside the first");
    let rounded = (bytes(&index) - kept) as f32 / 200.0;
    let whole = kept as f32 / 400.0;
    assert!(
        whole - rounded > 1.9 * DIM as f32,
        "{whole} and {rounded} bytes a row"
    );
    assert!(off(&index, &vectors) <= 0.5f32.powi(12));
    assert_eq!(off(&index, &vectors[..400]), 0.0);
    assert_eq!(
        nearest(&index, &query),
        [nearest_of_all.clone(), nearest_of_all]
    );
}
