//! Several segments answer as one: adding, deleting, compacting, and readers meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use unprompt_index::{
    BuildOptions, Deletion, Error, Filter, Fusion, Hit, ImageRecord, Index, KeywordQuery, PromptId,
    SearchRequest, Writer, check, delete,
};

use crate::util::{Built, DIM, add, built, clustered, compacted, files, image};

/// Prompts with words from common to rare, each with up to three images.
fn entries(count: usize) -> Vec<(String, Vec<f32>, Vec<ImageRecord>)> {
    let vectors = clustered(3, count, DIM, 12);
    let text = |i: usize| {
        let words: Vec<String> = (0..3 + i % 7)
            .map(|j| format!("w{}", (i * 7 + j * j * 3) % (5 + 40 * j)))
            .collect();
        format!("{} number {i}", words.join(" "))
    };
    let images = |i: usize| {
        let image = |j: usize| ImageRecord {
            image_name: format!("{i}-{j}.png"),
            seed: Some((i % 50) as u64),
            sampler: Some(["k_lms", "ddim"][(i + j) % 2].into()),
            ..ImageRecord::default()
        };
        (0..i % 4).map(image).collect()
    };
    let entry = |(i, vector)| (text(i), vector, images(i));
    vectors.into_iter().enumerate().map(entry).collect()
}

type Entries = [(String, Vec<f32>, Vec<ImageRecord>)];

fn borrowed(entries: &Entries) -> impl Iterator<Item = (&str, Vec<f32>, Vec<ImageRecord>)> {
    entries
        .iter()
        .map(|(prompt, vector, images)| (prompt.as_str(), vector.clone(), images.clone()))
}

/// Everything that does not depend on a graph walk, as it comes.
fn answers(index: &Index, queries: &Entries) -> Vec<Vec<Hit>> {
    let filters = ["", "sampler:k_lms", "w3 seed:[10 TO 40]", "-w0"];
    let fusions = [Fusion::default(), Fusion::WeightedSum { vector: 0.4 }];
    let mut answers = Vec::new();
    for (text, vector, _) in queries {
        for filter in filters {
            for (by_vector, by_words) in [(true, false), (false, true), (true, true)] {
                for fusion in fusions {
                    let request = SearchRequest {
                        vector: by_vector.then(|| vector.clone()),
                        keywords: by_words.then(|| KeywordQuery::Text(text.clone())),
                        k: 30,
                        exact: true,
                        filter: Some(Filter::parse(filter).unwrap()),
                        fusion,
                        ..SearchRequest::default()
                    };
                    answers.push(index.search(&request).unwrap());
                }
            }
        }
    }
    answers
}

/// The same prompts in one segment, and in five.
fn one_and_five(entries: &Entries) -> (Built, Built) {
    let one = built(DIM, borrowed(entries));
    // Each less than half of the one before, so that none is merged.
    let sizes = [0.55, 0.8, 0.92, 0.97, 1.0].map(|part| (entries.len() as f64 * part) as usize);
    let five = built(DIM, borrowed(&entries[..sizes[0]]));
    for ends in sizes.windows(2) {
        add(&five.dir, borrowed(&entries[ends[0]..ends[1]]));
    }
    (one, five)
}

#[test]
fn scores_and_ranks_do_not_depend_on_segments() {
    let entries = entries(1000);
    let (one, five) = one_and_five(&entries);
    let index = Index::open(&five.dir).unwrap();
    assert_eq!(one.index.stats().unwrap().segments, 1);
    assert_eq!(index.stats().unwrap().segments, 5);
    assert_eq!(index.len(), 1000);
    let queries = &entries[100..120];
    let expected = answers(&one.index, queries);
    // To the last bit: equal hits have equal scores.
    assert_eq!(answers(&index, queries), expected);
    compacted(&five.dir);
    let index = Index::open(&five.dir).unwrap();
    assert_eq!(index.stats().unwrap().segments, 1);
    assert_eq!(answers(&index, queries), expected);
    assert!(check(&five.dir).unwrap().damaged.is_empty());
}

#[test]
fn scores_do_not_depend_on_what_was_deleted() {
    let entries = entries(1000);
    let (_, five) = one_and_five(&entries);
    let gone = |i: usize| i.is_multiple_of(3) || (500..620).contains(&i);
    let ids = (0..1000)
        .filter(|i| gone(*i))
        .map(|i| PromptId::of(&entries[i].0));
    let ids: Vec<PromptId> = ids.chain([PromptId::of("absent")]).collect();
    let report = delete(&five.dir, &Deletion::Prompts(ids.clone())).unwrap();
    assert_eq!((report.prompts, report.missing), (ids.len() - 1, 1));
    let left: Vec<_> = (0..1000)
        .filter(|i| !gone(*i))
        .map(|i| entries[i].clone())
        .collect();
    let fresh = built(DIM, borrowed(&left));
    let index = Index::open(&five.dir).unwrap();
    assert_eq!(index.len(), left.len());
    assert_eq!(index.entries().count(), left.len());
    assert_eq!(index.find(&ids[0]).unwrap(), None);
    let stats = index.stats().unwrap();
    assert_eq!(stats.deleted_prompts, report.prompts);
    assert_eq!(stats.deleted_images, report.images);
    let images: usize = left.iter().map(|(_, _, images)| images.len()).sum();
    assert_eq!(stats.images, images);
    let queries = &entries[90..110];
    let expected = answers(&fresh.index, queries);
    assert_eq!(answers(&index, queries), expected);
    assert!(check(&five.dir).unwrap().damaged.is_empty());
    // The graph is walked past what is deleted.
    for (_, vector, _) in queries {
        let hits = index
            .vector_search(vector, &Default::default(), None)
            .unwrap();
        assert!(hits.iter().all(|hit| index.prompt(hit.entry).is_ok()));
    }
    let stats = compacted(&five.dir);
    assert_eq!((stats.deleted_prompts, stats.prompts), (0, left.len()));
    assert_eq!(answers(&Index::open(&five.dir).unwrap(), queries), expected);
    // Adding what was deleted makes it whole again.
    add(&five.dir, borrowed(&entries));
    let whole = built(DIM, borrowed(&entries));
    let index = Index::open(&five.dir).unwrap();
    assert_eq!(answers(&index, queries), answers(&whole.index, queries));
}

#[test]
fn a_known_prompt_gains_images_and_stands_once() {
    let entries = entries(40);
    let built = built(DIM, borrowed(&entries));
    let before = built.index.stats().unwrap();
    // Nothing new: no commit at all.
    let same = add(&built.dir, borrowed(&entries[..9]));
    assert_eq!(same, before);
    let (prompt, vector, images) = &entries[7];
    let renewed = ImageRecord {
        seed: Some(77),
        ..images[0].clone()
    };
    let other = vec![1.0; 1].into_iter().chain([0.0; DIM - 1]).collect();
    let stats = add(
        &built.dir,
        [(
            prompt.as_str(),
            other,
            vec![renewed.clone(), image("new.png")],
        )],
    );
    assert_eq!((stats.prompts, stats.images), (40, before.images + 1));
    let index = Index::open(&built.dir).unwrap();
    let entry = index.find(&PromptId::of(prompt)).unwrap().unwrap();
    assert_eq!(index.vector(entry).unwrap(), *vector, "its vector stays");
    let (listed, count) = index.images(entry, None, 99).unwrap();
    let mut expected = images.clone();
    expected[0] = renewed;
    expected.push(image("new.png"));
    assert_eq!((listed, count), (expected, images.len() + 1));
    let request = SearchRequest {
        keywords: Some(KeywordQuery::Text(prompt.clone())),
        k: 100,
        ..SearchRequest::default()
    };
    let hits = index.search(&request).unwrap();
    let distinct: BTreeSet<_> = hits.iter().map(|hit| hit.id).collect();
    assert_eq!(distinct.len(), hits.len());
    assert_eq!(hits[0].image_count, count);
}

#[test]
fn a_filter_deletes_what_it_would_list() {
    let many = [
        ("a fox", 2),
        ("an owl", 1),
        ("a fox at night", 3),
        ("a den", 0),
    ];
    let images = |prompt: &str, count: usize| {
        let image = |i: usize| ImageRecord {
            sampler: Some(["k_lms", "ddim"][i.min(1)].into()),
            ..image(&format!("{prompt} {i}.png"))
        };
        (0..count).map(image).collect()
    };
    let vectors = clustered(4, many.len(), DIM, 2);
    let built = built(
        DIM,
        many.iter()
            .zip(&vectors)
            .map(|((p, n), v)| (*p, v.clone(), images(p, *n))),
    );
    let run = |filter: &str| {
        let filter = Filter::parse(filter).unwrap();
        let report = delete(&built.dir, &Deletion::Matching(filter)).unwrap();
        (report.prompts, report.images)
    };
    // Images go, and the one prompt that has no others; "a den" had none to lose.
    assert_eq!(run("sampler:k_lms"), (1, 3));
    assert_eq!(run("sampler:k_lms"), (0, 0));
    assert_eq!(run("-sampler:ddim"), (0, 0));
    let index = Index::open(&built.dir).unwrap();
    let listed = |text: &str| {
        let entry = index.find(&PromptId::of(text)).unwrap()?;
        Some(index.images(entry, None, 9).unwrap().1)
    };
    let left = many.map(|(prompt, _)| listed(prompt));
    assert_eq!(left, [Some(1), None, Some(2), Some(0)]);
    // Without images: prompts, and what they have.
    assert_eq!(run("night"), (1, 2));
    assert_eq!(run("*"), (2, 1));
    let index = Index::open(&built.dir).unwrap();
    assert!(index.is_empty());
    assert_eq!(index.stats().unwrap().segments, 0);
    assert_eq!(fs::read_dir(built.dir.join("segments")).unwrap().count(), 0);
    // An empty index can be added to.
    let stats = add(&built.dir, [("a fox", vectors[0].clone(), vec![])]);
    assert_eq!((stats.prompts, stats.deleted_prompts), (1, 0));
}

#[test]
fn readers_keep_their_snapshot_while_all_is_rewritten() {
    let entries = entries(300);
    let built = built(DIM, borrowed(&entries[..200]));
    let before = Index::open(&built.dir).unwrap();
    let expected = answers(&before, &entries[..3]);
    add(&built.dir, borrowed(&entries[200..280]));
    delete(
        &built.dir,
        &Deletion::Matching(Filter::parse("w0").unwrap()),
    )
    .unwrap();
    compacted(&built.dir);
    assert_eq!(fs::read_dir(built.dir.join("segments")).unwrap().count(), 1);
    assert_eq!(answers(&before, &entries[..3]), expected);
    assert_eq!(before.len(), 200);
    assert_ne!(Index::open(&built.dir).unwrap().len(), 200);
}

/// Adds, deletes and compacts, over and over.
fn churn(dir: &Path, entries: &Entries) {
    for round in 0..12 {
        add(dir, borrowed(&entries[100 + round * 10..][..10]));
        let id = PromptId::of(&entries[round].0);
        delete(dir, &Deletion::Prompts(vec![id])).unwrap();
        if round % 3 == 2 {
            compacted(dir);
        }
    }
}

#[test]
fn opening_and_checking_never_fail_while_a_writer_is_at_work() {
    let entries = entries(240);
    let built = built(DIM, borrowed(&entries[..100]));
    let done = AtomicBool::new(false);
    let mut opened = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            churn(&built.dir, &entries);
            done.store(true, Ordering::Relaxed);
        });
        let mut last = 0;
        while !done.load(Ordering::Relaxed) {
            let index = Index::open(&built.dir).unwrap();
            let generation = index.stats().unwrap().generation;
            assert!(generation >= last);
            last = generation;
            let hits = index.vector_search(&entries[0].1, &Default::default(), None);
            assert_eq!(hits.unwrap().len(), 10);
            assert!(check(&built.dir).unwrap().damaged.is_empty());
            opened += 1;
        }
    });
    println!("opened and checked {opened} times");
    assert!(opened > 3);
    assert_eq!(Index::open(&built.dir).unwrap().len(), 100 + 12 * 10 - 12);
}

#[test]
fn changes_need_an_index_and_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let open = |dir: &Path| Writer::open(dir, BuildOptions::default()).err().unwrap();
    assert!(matches!(open(folder.path()), Error::NotAnIndex { .. }));
    assert!(files(folder.path()).is_empty(), "and no LOCK is left there");
    let built = built(DIM, []);
    let writer = Writer::open(&built.dir, BuildOptions::default()).unwrap();
    assert!(matches!(open(&built.dir), Error::Locked { .. }));
    let refused = delete(&built.dir, &Deletion::Prompts(vec![]));
    assert!(matches!(refused, Err(Error::Locked { .. })));
    assert!(Index::open(&built.dir).is_ok(), "readers take no lock");
    drop(writer);
    assert!(Writer::open(&built.dir, BuildOptions::default()).is_ok());
}
