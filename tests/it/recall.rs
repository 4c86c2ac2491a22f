//! The graph on real embeddings, and an index folder that moves.

use std::collections::HashSet;
use std::ops::ControlFlow;

use unprompt::indexing;
use unprompt::pocket::{Prompts, Split};
use unprompt_index::{Index, VectorOptions};

use crate::support::encoder;

const PROMPTS: usize = 10_000;
const QUERIES: usize = 200;
const K: usize = 10;

#[test]
fn graph_finds_what_exact_search_finds_also_in_a_moved_folder() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("index");
    let mut seen = HashSet::new();
    let mut texts = Prompts::new(31, Split::Test)
        .map(|prompt| prompt.text)
        .filter(|text| seen.insert(text.clone()));
    let prompts: Vec<String> = texts.by_ref().take(PROMPTS).collect();
    let queries: Vec<String> = texts.take(QUERIES).collect();
    let go_on = &mut |_| ControlFlow::Continue(());
    let stats = indexing::build(prompts, &dir, encoder(), go_on).unwrap();
    assert_eq!(stats.prompts, PROMPTS);

    let moved = folder.path().join("elsewhere/of another name");
    std::fs::create_dir_all(moved.parent().unwrap()).unwrap();
    std::fs::rename(&dir, &moved).unwrap();
    let index = Index::open(&moved).unwrap();
    let queries = encoder().embed(&queries).unwrap();
    let mut found = 0;
    for query in queries.rows() {
        let search = |exact| {
            let options = VectorOptions {
                k: K,
                exact,
                ..VectorOptions::default()
            };
            let scored = index.vector_search(query, &options, None).unwrap();
            scored
                .into_iter()
                .map(|scored| scored.entry)
                .collect::<HashSet<_>>()
        };
        let (walked, exact) = (search(false), search(true));
        assert_eq!(exact.len(), K);
        found += walked.intersection(&exact).count();
    }
    let recall = found as f64 / (QUERIES * K) as f64;
    assert!(recall >= 0.95, "recall@{K} {recall}");
}
