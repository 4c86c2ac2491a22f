//! How long does a graph take to build, and how many queries a second does it answer, at which
//! recall, also among the rows that a filter selects?
//!
//! `cargo bench -p unprompt-benches --bench graph -- --vectors base.f32 --queries query.f32 --dim 384`
//! reads rows of little-endian f32 of length 1; `benches/peers/vector_race.py` prints the same
//! table for hnswlib, faiss, usearch and SVS from the same files. Without files, vectors are made around random centres, which
//! only tells two versions of this crate apart. `--index DIR` keeps what is built, and builds nothing
//! where it is already: so engines can be measured by turns on a machine whose pace changes.
//!
//! Recall is that beside an exact scan of the rows as the files have them, whatever `--element` (f32 or
//! f16) the index is built with; among the rows of a filter, beside the index's own scan. `--round-i8 true`
//! gives the index rows in 8 bits a number, which says what would be found without a finer copy of them.
//!
//! The time of building is that of the codes and the graph, and of writing both: words are left out. Processor
//! time and memory are what Linux says, and missing elsewhere.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use unprompt_benches::{SEED, flags, median, peak_mebibytes};
use unprompt_index::{
    BuildOptions, Element, Encoder, EntryId, Filter, ImageRecord, Index, Phase, VectorOptions,
    Writer, check,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 10;
const EFS: [usize; 13] = [10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];
/// Recalls at which the rate is read off between two values of ef.
const RECALLS: [f64; 2] = [0.95, 0.99];
const RUNS: usize = 5;
/// Shares of the rows that filters select.
const SHARES: [f64; 4] = [0.5, 0.1, 0.01, 0.001];

/// Of the vectors that are made where none are given.
const MADE: usize = 20_000;
const MADE_QUERIES: usize = 1000;
const MADE_CENTRES: usize = 200;
/// How far they lie from their centre.
const MADE_SPREAD: f32 = 0.9;

struct Race {
    dim: usize,
    vectors: Vec<f32>,
    queries: Vec<f32>,
    options: BuildOptions,
    /// Whether rows are rounded to 8 bits a number before they are given to the index.
    round_i8: bool,
    /// Where the index is kept.
    index: Option<PathBuf>,
}

fn main() -> Result<()> {
    let race = race()?;
    let folder = tempfile::tempdir()?;
    let dir = match &race.index {
        Some(dir) => dir.clone(),
        None => folder.path().join("index"),
    };
    match dir.exists() {
        true => println!("built before, however that was: {}", dir.display()),
        false => build(&race, &dir)?,
    }
    let stats = Index::open(&dir)?.stats()?;
    let (bytes, rows) = (stats.bytes, stats.prompts as f64);
    println!(
        "vectors {} bytes, {:.0} a row, graph {} bytes, {:.0} a row",
        bytes.vectors,
        bytes.vectors as f64 / rows,
        bytes.graph,
        bytes.graph as f64 / rows
    );
    let open = median(RUNS, || Index::open(&dir));
    println!("open: {:.2} ms", open.as_secs_f64() * 1e3);
    // Reads every file once, so that no search below waits for the disk.
    ensure!(check(&dir)?.damaged.is_empty(), "the index is damaged");
    let index = Index::open(&dir)?;
    search(&race, &index)?;
    match index.stats()?.images {
        0 => Ok(()),
        _ => filtered(&race, &index),
    }
}

fn build(race: &Race, dir: &Path) -> Result<()> {
    let encoder = Encoder {
        name: "bench".into(),
        digest: "none".into(),
        dim: race.dim,
    };
    let mut writer = Writer::create(dir, encoder, race.options)?;
    for (number, vector) in race.vectors.chunks(race.dim).enumerate() {
        // For filters, which select a share of the rows by their seeds.
        let image = ImageRecord {
            seed: Some(number as u64),
            ..ImageRecord::default()
        };
        let name = format!("prompt {number}");
        if race.round_i8 {
            writer.push(&name, &rounded_i8(vector), vec![image])?;
        } else {
            writer.push(&name, vector, vec![image])?;
        }
    }
    let mut start = None;
    let mut end = None;
    let stats = writer.commit(&mut |phase| {
        match phase {
            Phase::Graph { done: 0, .. } => start = Some((Instant::now(), cpu_seconds())),
            Phase::Keywords => end = Some((Instant::now(), cpu_seconds(), peak_mebibytes())),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    let (start, cpu_before) = start.context("no graph was built")?;
    let (end, cpu_after, memory) = end.context("no graph was built")?;
    println!(
        "{} vectors of {} {:?}{}, m {}, ef_construction {}, {} threads",
        stats.prompts,
        race.dim,
        race.options.element.unwrap_or_default(),
        if race.round_i8 {
            " rounded to 8 bits"
        } else {
            ""
        },
        race.options.m,
        race.options.ef_construction,
        race.options.threads
    );
    println!(
        "graph: {:.1} s, {:.1} CPU s; peak memory {memory:.0} MB, the vectors included as given and as mapped",
        (end - start).as_secs_f64(),
        cpu_after - cpu_before
    );
    Ok(())
}

/// Each number as a multiple of a 127th of the row's largest, and the row of length 1 again.
fn rounded_i8(row: &[f32]) -> Vec<f32> {
    let step = row.iter().fold(0.0f32, |max, x| max.max(x.abs())) / 127.0;
    unit(row.iter().map(|x| (x / step).round() * step).collect())
}

/// What is found for each query.
type Found = Vec<HashSet<EntryId>>;

impl Race {
    fn count(&self) -> usize {
        self.queries.len() / self.dim
    }

    /// The rows as the files have them that are nearest to each query.
    fn truth(&self, index: &Index) -> Result<Found> {
        // Entries come in the order of their pushing.
        let entries: Vec<EntryId> = index.entries().collect();
        ensure!(
            entries.len() * self.dim == self.vectors.len(),
            "the index has {} vectors: it was not built of these files",
            entries.len()
        );
        let nearest = |query: &[f32]| -> HashSet<EntryId> {
            let scores = self.vectors.chunks(self.dim).map(|row| dot(row, query));
            let mut scores: Vec<(usize, f32)> = scores.enumerate().collect();
            scores.select_nth_unstable_by(K - 1, |a, b| b.1.total_cmp(&a.1));
            scores[..K].iter().map(|(row, _)| entries[*row]).collect()
        };
        Ok(self.queries.par_chunks(self.dim).map(nearest).collect())
    }

    fn all(
        &self,
        index: &Index,
        ef: Option<usize>,
        exact: bool,
        filter: Option<&Filter>,
    ) -> Result<Found> {
        let options = VectorOptions { k: K, ef, exact };
        let found = self.queries.chunks(self.dim).map(|query| {
            let scored = index.vector_search(query, &options, filter)?;
            Ok(scored.into_iter().map(|scored| scored.entry).collect())
        });
        found.collect()
    }
}

fn recall(found: &Found, truth: &Found) -> f64 {
    let common: usize = found.iter().zip(truth).map(|(a, b)| (a & b).len()).sum();
    let wanted: usize = truth.iter().map(HashSet::len).sum();
    common as f64 / wanted as f64
}

fn search(race: &Race, index: &Index) -> Result<()> {
    let truth = race.truth(index)?;
    let start = Instant::now();
    let scanned = race.all(index, None, true, None)?;
    let exact = start.elapsed().as_secs_f64();
    println!(
        "exact: {:.1} queries/s, recall@{K} {:.4}",
        race.count() as f64 / exact,
        recall(&scanned, &truth)
    );
    println!("ef  recall@{K}  queries/s");
    let mut table = Vec::with_capacity(EFS.len());
    for ef in EFS {
        let found = race.all(index, Some(ef), false, None)?;
        let time = median(RUNS, || race.all(index, Some(ef), false, None)).as_secs_f64();
        let (recall, rate) = (recall(&found, &truth), race.count() as f64 / time);
        println!("{ef:<3} {recall:.4}     {rate:>8.0}");
        table.push((recall, rate));
    }
    for recall in RECALLS {
        match rate_at(&table, recall) {
            Some(rate) => println!("at recall@{K} {recall}: {rate:.0} queries/s"),
            None => println!("at recall@{K} {recall}: never"),
        }
    }
    Ok(())
}

/// Queries a second at a recall between two of the table, whose logarithm is taken to be linear there.
fn rate_at(table: &[(f64, f64)], recall: f64) -> Option<f64> {
    table.windows(2).find_map(|pair| {
        let [(low, fast), (high, slow)] = [pair[0], pair[1]];
        let share = (recall - low) / (high - low);
        (low < recall && recall <= high).then(|| fast.powf(1.0 - share) * slow.powf(share))
    })
}

/// With the default ef; the filter is evaluated anew for each query.
fn filtered(race: &Race, index: &Index) -> Result<()> {
    println!("share   recall@{K}  queries/s  exact queries/s");
    for share in SHARES {
        let last = (index.len() as f64 * share) as usize;
        let filter = Filter::parse(&format!("seed:[0 TO {last}}}"))?;
        let all = |exact| race.all(index, None, exact, Some(&filter));
        let recall = recall(&all(false)?, &all(true)?);
        let rate = |exact| race.count() as f64 / median(1, || all(exact)).as_secs_f64();
        let share = format!("{:.1}%", share * 100.0);
        println!(
            "{share:<7} {recall:.4}     {:>8.0}  {:>8.0}",
            rate(false),
            rate(true)
        );
    }
    Ok(())
}

/// What the flags say.
fn race() -> Result<Race> {
    let (mut vectors, mut queries) = (None, None);
    let (mut index, mut round_i8) = (None, false);
    let mut dim = 384;
    let mut options = BuildOptions {
        threads: std::thread::available_parallelism()?.get(),
        ..BuildOptions::default()
    };
    flags(
        "--vectors, --queries, --dim, --m, --ef-construction, --threads, --element, --round-i8 and --index",
        |flag, value| {
            match flag {
                "--vectors" => vectors = Some(value),
                "--queries" => queries = Some(value),
                "--index" => index = Some(value.into()),
                "--dim" => dim = value.parse()?,
                "--element" => {
                    options.element = match value.as_str() {
                        "f32" => Some(Element::F32),
                        "f16" => Some(Element::F16),
                        _ => bail!("--element is f32 or f16"),
                    }
                }
                "--round-i8" => round_i8 = value.parse()?,
                "--m" => options.m = value.parse()?,
                "--ef-construction" => options.ef_construction = value.parse()?,
                "--threads" => options.threads = value.parse()?,
                _ => return Ok(false),
            }
            Ok(true)
        },
    )?;
    let (vectors, queries) = match (vectors, queries) {
        (Some(vectors), Some(queries)) => (read(&vectors, dim)?, read(&queries, dim)?),
        (None, None) => {
            let mut vectors = made(MADE + MADE_QUERIES, dim);
            let queries = vectors.split_off(MADE * dim);
            (vectors, queries)
        }
        _ => bail!("give both --vectors and --queries, or neither"),
    };
    Ok(Race {
        dim,
        vectors,
        queries,
        options,
        round_i8,
        index,
    })
}

fn read(path: &str, dim: usize) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    ensure!(
        rest.is_empty() && dim > 0 && numbers.len().is_multiple_of(dim),
        "{path} does not hold rows of {dim} f32"
    );
    Ok(numbers
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect())
}

/// Unit vectors around random centres.
fn made(count: usize, dim: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut direction = || -> Vec<f32> {
        // The sum of twelve uniform numbers is near enough to a normal one.
        let normal = |rng: &mut ChaCha8Rng| (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
        unit((0..dim).map(|_| normal(&mut rng)).collect())
    };
    let centres: Vec<Vec<f32>> = (0..MADE_CENTRES).map(|_| direction()).collect();
    let around = |number: usize| {
        let centre = &centres[number % MADE_CENTRES];
        let offset = direction();
        let place = centre.iter().zip(offset);
        unit(place.map(|(c, o)| c + MADE_SPREAD * o).collect())
    };
    (0..count).flat_map(around).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 32];
    for (a, b) in a.chunks(sums.len()).zip(b.chunks(sums.len())) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|v| *v /= length);
    vector
}

/// Processor seconds of this process so far: fields 14 and 15 of its `stat`, in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold spaces.
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = fields.split(' ').skip(11).take(2);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
