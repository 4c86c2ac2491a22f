//! How many prompts a second does the sentence encoder embed on all cores, in each precision?
//!
//! `cargo bench -p unprompt-benches --bench embed -- --prompts prompts.txt --count 1500 --out ours`
//! takes the first prompts of a file, pocket prompts without one, and with `--out` writes the
//! embeddings of each precision, rows of little-endian f32, for `benches/peers/embedding_race.py`, which
//! measures others on the same prompts.
//!
//! Beside prompts a second stands what the products of the network's linear layers come to, how long it
//! takes from nothing to the first embedding, and the most memory of the process.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use unprompt::matmul::Precision;
use unprompt::text::SentenceEncoder;
use unprompt_benches::{flags, median, peak_mebibytes, prompts, prompts_of, sentence_encoder};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 5;
/// Multiplications and additions of a token in the network's linear layers, all-MiniLM-L6-v2's.
const OPERATIONS: f64 = 2.0 * 6.0 * (4.0 * 384.0 * 384.0 + 2.0 * 384.0 * 1536.0);

fn main() -> Result<()> {
    let (mut file, mut count, mut out) = (None, 1000, None);
    let mut precisions = Precision::ALL.to_vec();
    flags(
        "--prompts, --count, --out and --precision",
        |flag, value| {
            match flag {
                "--prompts" => file = Some(value),
                "--count" => count = value.parse()?,
                "--out" => out = Some(value),
                "--precision" => precisions = vec![value.parse().map_err(anyhow::Error::msg)?],
                _ => return Ok(false),
            }
            Ok(true)
        },
    )?;
    let texts = match file {
        Some(file) => {
            let mut texts = prompts_of(Path::new(&file))?;
            texts.truncate(count);
            texts
        }
        None => prompts(count),
    };
    for precision in precisions {
        let start = Instant::now();
        let sentences = sentence_encoder(precision)?;
        sentences.embed(&texts[..1])?;
        let first = start.elapsed();
        let tokens = tokens(&sentences, &texts)?;
        let time = median(RUNS, || sentences.embed(&texts)).as_secs_f64();
        println!(
            "{precision}: {:.0} prompts/s, {:.0} tokens/s, {:.0} GFLOP/s; {:.1} tokens a prompt; first prompt after {:.0} ms, \
             peak memory {:.0} MiB",
            texts.len() as f64 / time,
            tokens as f64 / time,
            tokens as f64 * OPERATIONS / time / 1e9,
            tokens as f64 / texts.len() as f64,
            first.as_secs_f64() * 1e3,
            peak_mebibytes(),
        );
        if let Some(out) = &out {
            let rows = sentences.embed(&texts)?;
            let bytes: Vec<u8> = rows
                .as_slice()
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect();
            std::fs::write(format!("{out}-{precision}.f32"), bytes)?;
        }
    }
    Ok(())
}

/// Tokens of all texts: states of a thousand at a time, counted.
fn tokens(sentences: &SentenceEncoder, texts: &[String]) -> Result<usize> {
    let mut tokens = 0;
    for texts in texts.chunks(1000) {
        let states = sentences.states_with(texts, |_| std::ops::ControlFlow::Continue(()))?;
        let lengths = (0..states.len()).map(|text| states.text(text).len() / states.dim());
        tokens += lengths.sum::<usize>();
    }
    Ok(tokens)
}
