//! How many queries a second does one thread answer, at which recall?
//!
//! Corpus: 20 000 pocket prompts embedded by all-MiniLM-L6-v2, 500 held-out queries. The exact scan is
//! the yardstick of the same run. Pocket prompts are nearer to each other than real ones, so recall
//! at a given `ef` is lower than on real prompts.

use std::collections::HashSet;
use std::ops::ControlFlow;

use anyhow::Result;
use unprompt::indexing;
use unprompt::matmul::Precision;
use unprompt_benches::{median, prompts, sentence_encoder};
use unprompt_index::{EntryId, Index, KeywordQuery, VectorOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ENTRIES: usize = 20_000;
const QUERIES: usize = 500;
const K: usize = 10;
const EFS: [usize; 6] = [10, 20, 40, 80, 160, 320];
const RUNS: usize = 3;

fn main() -> Result<()> {
    let sentences = sentence_encoder(Precision::Full)?;
    let mut texts = prompts(ENTRIES + QUERIES);
    let queries = texts.split_off(ENTRIES);
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("index");
    let go_on = &mut |_| ControlFlow::Continue(());
    let stats = indexing::build(texts, &dir, &sentences, go_on)?;
    let bytes = stats.bytes;
    println!(
        "{ENTRIES} entries: vectors {} bytes, graph {} bytes an entry",
        bytes.vectors / ENTRIES as u64,
        bytes.graph / ENTRIES as u64
    );
    println!(
        "open: {:.2} ms",
        median(RUNS, || Index::open(&dir)).as_secs_f64() * 1e3
    );

    let index = Index::open(&dir)?;
    let vectors = sentences.embed(&queries)?;
    let search = |options: VectorOptions| -> Result<Vec<HashSet<EntryId>>> {
        let found = vectors.rows().map(|query| {
            let scored = index.vector_search(query, &options, None)?;
            Ok(scored.into_iter().map(|scored| scored.entry).collect())
        });
        found.collect()
    };
    let rate =
        |options: VectorOptions| QUERIES as f64 / median(RUNS, || search(options)).as_secs_f64();
    let exact = VectorOptions {
        k: K,
        exact: true,
        ..VectorOptions::default()
    };
    let (truth, exact_rate) = (search(exact)?, rate(exact));
    println!("exact: {exact_rate:.0} queries/s");
    println!("ef  recall@{K}  queries/s  times exact");
    for ef in EFS {
        let options = VectorOptions {
            k: K,
            ef: Some(ef),
            ..VectorOptions::default()
        };
        let common: usize = search(options)?
            .iter()
            .zip(&truth)
            .map(|(a, b)| a.intersection(b).count())
            .sum();
        let recall = common as f64 / (QUERIES * K) as f64;
        let rate = rate(options);
        println!(
            "{ef:<3} {recall:.4}     {rate:>8.0}   {:>6.1}",
            rate / exact_rate
        );
    }
    let words = || -> Result<()> {
        for query in &queries {
            index.keyword_search(&KeywordQuery::Text(query.clone()), 100, None)?;
        }
        Ok(())
    };
    let keyword_rate = QUERIES as f64 / median(RUNS, words).as_secs_f64();
    println!("keywords of whole prompts, top 100: {keyword_rate:.0} queries/s");
    Ok(())
}
