//! How many prompts a second does the sentence encoder embed on all cores?
//!
//! 1 000 pocket prompts. The matrix products of one prompt of t tokens take about 2 t x 10.6 M
//! operations, so t of 40 at 120 GFLOP/s a core would allow some 140 prompts a second and core with
//! AVX2, twice that with AVX-512.

use anyhow::Result;
use unprompt_benches::{median, prompts, sentence_encoder};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PROMPTS: usize = 1000;
const RUNS: usize = 3;

fn main() -> Result<()> {
    let sentences = sentence_encoder()?;
    let texts = prompts(PROMPTS);
    let time = median(RUNS, || sentences.embed(&texts));
    println!("{:.0} prompts/s", PROMPTS as f64 / time.as_secs_f64());
    Ok(())
}
