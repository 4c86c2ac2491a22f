//! What does a search by vector and words cost, stage by stage, over an index that is there?
//!
//!     cargo bench -p unprompt-benches --bench hybrid -- --index DIR --queries FILE.txt
//!
//! Held-out prompts are the queries, their vectors made before any clock starts. The stages are put
//! to one thread by themselves, each over all queries, as `Index::search` runs them for the first ten
//! hits: a graph walk and BM25, the 100 best of each, their fusion, and ten records. Then all cores
//! search at once, for a fixed time. Recall, which says what the walk is worth, is that of its first ten
//! beside the exact scan, of fewer queries.
//!
//! A search is *cold* right after the system was told to forget the files of the index, which it
//! only does with what is written to disk and mapped by nobody. Only Linux is told.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use unprompt::device::Device;
use unprompt::matmul::Precision;
use unprompt::text::Embeddings;
use unprompt_benches::{flags, prompts_of, sentence_encoder};
use unprompt_index::{EntryId, Fusion, Index, KeywordQuery, Scored, SearchRequest, VectorOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How deep lists are fused for the first hits.
const DEPTH: usize = 100;
/// Hits of a page.
const K: usize = 10;
/// Times that a stage is put to all queries; of each query the median counts.
const ROUNDS: usize = 3;
/// Queries that recall is measured with.
const EXACT: usize = 100;
/// Times that the index is opened cold.
const COLD: usize = 5;
/// How long all cores search.
const THROUGHPUT: Duration = Duration::from_secs(5);

struct Query {
    vector: Vec<f32>,
    words: KeywordQuery,
}

impl Query {
    fn request(&self) -> SearchRequest {
        SearchRequest {
            vector: Some(self.vector.clone()),
            keywords: Some(self.words.clone()),
            k: K,
            ..SearchRequest::default()
        }
    }
}

fn main() -> Result<()> {
    let (dir, queries) = asked()?;
    let texts = prompts_of(&queries)?;
    let vectors: Embeddings = sentence_encoder(Precision::fastest(&Device::Cpu))?.embed(&texts)?;
    let query = |(text, vector): (&String, &[f32])| Query {
        vector: vector.to_vec(),
        words: KeywordQuery::Text(text.clone()),
    };
    let queries: Vec<Query> = texts.iter().zip(vectors.rows()).map(query).collect();
    ensure!(!queries.is_empty(), "there are no queries");
    cold(&dir, &queries)?;
    let index = Index::open(&dir)?;
    println!("{} prompts, {} queries", index.len(), queries.len());
    stages(&index, &queries)?;
    println!("recall@{K} of the walk: {:.4}", recall(&index, &queries)?);
    throughput(&index, &queries)
}

fn near(k: usize, exact: bool) -> VectorOptions {
    VectorOptions {
        k,
        exact,
        ..VectorOptions::default()
    }
}

fn stages(index: &Index, queries: &[Query]) -> Result<()> {
    println!("stage, one thread                   median ms    p99 ms");
    let by_vector = stage("graph walk, 100 best", queries, |query| {
        Ok(index.vector_search(&query.vector, &near(DEPTH, false), None)?)
    })?;
    let by_words = stage("BM25, 100 best", queries, |query| {
        Ok(index.keyword_search(&query.words, DEPTH, None)?)
    })?;
    let lists: Vec<(Vec<Scored>, Vec<Scored>)> = by_vector.into_iter().zip(by_words).collect();
    let fused = stage("fusion", &lists, |(vector, words)| {
        Ok(Fusion::default().fuse(&[&vector[..]], words)?)
    })?;
    stage("ten records", &fused, |fused| {
        let entries = fused.iter().take(K).map(|fused| fused.entry);
        let record = |entry: EntryId| -> Result<_> {
            Ok((index.prompt(entry)?, index.images(entry, None, K)?))
        };
        entries.map(record).collect::<Result<Vec<_>>>()
    })?;
    stage("Index::search, ten hits of both", queries, |query| {
        Ok(index.search(&query.request())?)
    })?;
    Ok(())
}

/// Times a stage for each of its inputs, prints a row, and gives what came out last.
fn stage<A, B>(name: &str, inputs: &[A], run: impl Fn(&A) -> Result<B>) -> Result<Vec<B>> {
    let mut rounds = vec![Vec::new(); inputs.len()];
    let mut outputs = Vec::new();
    // The round before the first warms.
    for round in 0..=ROUNDS {
        outputs.clear();
        for (input, times) in inputs.iter().zip(&mut rounds) {
            let start = Instant::now();
            outputs.push(std::hint::black_box(run(input)?));
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let mut times: Vec<f64> = rounds.iter_mut().map(|it| quantile(it, 0.5)).collect();
    println!(
        "{name:<34} {:>10.3} {:>9.3}",
        quantile(&mut times, 0.5),
        quantile(&mut times, 0.99)
    );
    Ok(outputs)
}

fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(share * (times.len() - 1) as f64).round() as usize]
}

fn recall(index: &Index, queries: &[Query]) -> Result<f64> {
    let found = |query: &Query, k, exact| -> Result<HashSet<EntryId>> {
        let found = index.vector_search(&query.vector, &near(k, exact), None)?;
        Ok(found.iter().take(K).map(|found| found.entry).collect())
    };
    let (mut common, mut wanted) = (0, 0);
    for query in queries.iter().take(EXACT) {
        let truth = found(query, K, true)?;
        common += found(query, DEPTH, false)?.intersection(&truth).count();
        wanted += truth.len();
    }
    Ok(common as f64 / wanted as f64)
}

fn throughput(index: &Index, queries: &[Query]) -> Result<()> {
    let cores = thread::available_parallelism()?.get();
    let mut one = None;
    for threads in [1, cores] {
        let done = AtomicU64::new(0);
        let start = Instant::now();
        let search = |first: usize| -> Result<()> {
            for query in queries.iter().cycle().skip(first) {
                if start.elapsed() > THROUGHPUT {
                    break;
                }
                index.search(&query.request())?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let all: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(move || search(thread * queries.len() / threads)))
                .collect();
            all.into_iter()
                .try_for_each(|it| it.join().expect("no search panics"))
        })?;
        let rate = done.into_inner() as f64 / start.elapsed().as_secs_f64();
        let one = *one.get_or_insert(rate);
        println!(
            "{threads} threads: {rate:.0} queries/s, {:.2} times one",
            rate / one
        );
    }
    Ok(())
}

/// Opens and searches an index that the system has forgotten.
fn cold(dir: &Path, queries: &[Query]) -> Result<()> {
    let (mut open, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for query in queries.iter().cycle().take(COLD) {
        forget(dir)?;
        let mut start = Instant::now();
        let mut lap = || {
            let time = start.elapsed().as_secs_f64() * 1e3;
            start = Instant::now();
            time
        };
        let index = Index::open(dir)?;
        open.push(lap());
        index.search(&query.request())?;
        first.push(lap());
        index.search(&query.request())?;
        second.push(lap());
    }
    println!(
        "cold, medians of {COLD}: open {:.2} ms, first search {:.1} ms, the same again {:.2} ms",
        quantile(&mut open, 0.5),
        quantile(&mut first, 0.5),
        quantile(&mut second, 0.5)
    );
    Ok(())
}

/// Takes all files below out of the page cache of Linux.
fn forget(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget(&path)?;
        } else {
            let file = File::open(&path)?;
            file.sync_all()?;
            #[cfg(target_os = "linux")]
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

fn asked() -> Result<(PathBuf, PathBuf)> {
    let (mut index, mut queries) = (None, None);
    flags("--index and --queries", |flag, value| {
        match flag {
            "--index" => index = Some(value.into()),
            "--queries" => queries = Some(value.into()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((
        index.context("--index needs a folder")?,
        queries.context("--queries needs a file")?,
    ))
}
