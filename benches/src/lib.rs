//! What the benchmarks share: the corpus, medians, and memory.
//!
//! Each benchmark says in its header what it asks. Figures of one run may be compared with each
//! other; those of two runs only as ratios.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use unprompt::data::read::{ReadOptions, read};
use unprompt::data::records::Records;
use unprompt::device::DeviceChoice;
use unprompt::matmul::Precision;
use unprompt::models::ModelStore;
use unprompt::pocket::{Prompts, Split};
use unprompt::text::SentenceEncoder;

/// Seed of every corpus.
pub const SEED: u64 = 42;

/// `count` distinct pocket prompts.
pub fn prompts(count: usize) -> Vec<String> {
    let mut seen = HashSet::new();
    let texts = Prompts::new(SEED, Split::Test).map(|prompt| prompt.text);
    texts
        .filter(|text| seen.insert(text.clone()))
        .take(count)
        .collect()
}

/// The distinct prompts of a file, in its order.
///
/// # Errors
/// If it cannot be read.
pub fn prompts_of(path: &Path) -> Result<Vec<String>> {
    let mut records = Records::default();
    read(path, &ReadOptions::default(), &mut |row| {
        records.add(row);
        ControlFlow::Continue(())
    })
    .with_context(|| format!("cannot read {}", path.display()))?;
    let prompts = records.into_prompts().into_iter();
    Ok(prompts.map(|it| it.prompt).collect())
}

/// The sentence encoder on the CPU, fetched if it is not there.
///
/// # Errors
/// If no source has it.
pub fn sentence_encoder(precision: Precision) -> Result<SentenceEncoder> {
    let files = ModelStore::from_env()?.pull("all-MiniLM-L6-v2", &mut ())?;
    let device = DeviceChoice::Cpu.open()?;
    Ok(SentenceEncoder::load(&files, &device, precision)?)
}

/// Gives `take` each flag of the command line with its value; it says whether there is such a flag. `known` names
/// all of them.
///
/// # Errors
/// If a value is missing, if there is no such flag, and what `take` says.
pub fn flags(known: &str, mut take: impl FnMut(&str, String) -> Result<bool>) -> Result<()> {
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        // cargo adds this one.
        if flag == "--bench" {
            continue;
        }
        let value = given
            .next()
            .with_context(|| format!("{flag} needs a value"))?;
        ensure!(take(&flag, value)?, "no flag {flag}: there are {known}");
    }
    Ok(())
}

/// Median time of `runs` calls: one slow call, of which a shared machine has many, does not count.
pub fn median<T>(runs: usize, mut call: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..runs.max(1))
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(call());
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// The most memory of this process that was ever resident, in MiB.
pub fn peak_mebibytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    kilobytes
        .and_then(|number| number.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 1024.0
}
