//! How much of the exact answer the graph finds.

use std::time::Instant;

use unprompt_index::{DEFAULT_EF, Filter, ImageRecord, VectorOptions};

use crate::util::{Built, built, clustered};

const COUNT: usize = 10_000;
const QUERIES: usize = 200;
const CLUSTERS: usize = 100;
const WIDE: usize = 64;

fn index() -> (Built, Vec<Vec<f32>>) {
    let mut vectors = clustered(7, COUNT + QUERIES, WIDE, CLUSTERS);
    let queries = vectors.split_off(COUNT);
    let prompts: Vec<String> = (0..COUNT).map(|i| format!("prompt {i}")).collect();
    let image = |i: usize| ImageRecord {
        seed: Some(i as u64),
        ..ImageRecord::default()
    };
    let entries = prompts.iter().zip(vectors).enumerate();
    let start = Instant::now();
    let built = built(
        WIDE,
        entries.map(|(i, (p, v))| (p.as_str(), v, vec![image(i)])),
    );
    println!(
        "{COUNT} vectors of {WIDE} built in {:.1} s",
        start.elapsed().as_secs_f32()
    );
    (built, queries)
}

/// The share of the ten nearest that is found.
fn recall(built: &Built, queries: &[Vec<f32>], ef: Option<usize>, filter: Option<&Filter>) -> f64 {
    let search = |query: &[f32], exact| {
        let options = VectorOptions { k: 10, ef, exact };
        built.index.vector_search(query, &options, filter).unwrap()
    };
    let mut found = 0;
    let mut wanted = 0;
    for query in queries {
        let exact = search(query, true);
        let walked = search(query, false);
        assert_eq!(walked.len(), exact.len());
        wanted += exact.len();
        found += exact
            .iter()
            .filter(|hit| walked.iter().any(|h| h.entry == hit.entry))
            .count();
    }
    found as f64 / wanted as f64
}

#[test]
fn the_graph_finds_what_exact_search_finds() {
    let (built, queries) = index();
    for ef in [16, 32, 64, DEFAULT_EF, 256] {
        let start = Instant::now();
        let recall = recall(&built, &queries, Some(ef), None);
        println!(
            "ef {ef}: recall@10 {recall:.4}, {:?} with exact search",
            start.elapsed()
        );
    }
    let default = recall(&built, &queries, None, None);
    assert!(
        default >= 0.97,
        "recall@10 at default settings is {default}"
    );
    // Half of the rows, a tenth, a hundredth, and few: in an index of this size, only half of the
    // rows are looked for by a walk, and only with the smaller ef. Walks past more rows are tested
    // in `vector/hnsw/mod.rs`, and measured in `benches/benches/graph.rs`.
    for (share, filter) in [
        ("1/2", "seed:[5000 TO *]"),
        ("1/10", "seed:[100 TO 1099]"),
        ("1/100", "seed:[100 TO 199]"),
        ("3 rows", "seed: IN [5 6 7]"),
    ] {
        for ef in [None, Some(32)] {
            let parsed = Filter::parse(filter).unwrap();
            let recall = recall(&built, &queries, ef, Some(&parsed));
            println!("filter of {share}, ef {ef:?}: recall@10 {recall:.4}");
            assert!(
                recall >= 0.95,
                "recall@10 is {recall} of {share} with ef {ef:?}"
            );
        }
    }
}
