//! How far are sides apart where near-duplicates are together, and what does that cost?
//!
//!     cargo bench -p unprompt-benches --bench sides -- FILE...
//!
//! The prompts of each FILE on their sides as `data::split` has them, beside a split of prompts one by one: the share of
//! test prompts with a near-duplicate (a cosine of 0.9) among those to train on, and the mean cosine to the nearest. A
//! split one by one is what most figures on DiffusionDB are made with.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unprompt::data::leaders::NEAR_DUPLICATE;
use unprompt::data::row::Row;
use unprompt::data::split::Splitter;
use unprompt::indexing::Ingest;
use unprompt::matmul::Precision;
use unprompt::pocket::Split;
use unprompt_benches::{SEED, prompts_of, sentence_encoder};
use unprompt_index::{BuildOptions, Index, VectorOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    println!(
        "prompts, split, test prompts, with a near-duplicate to train on, cosine to the nearest, seconds"
    );
    let sentences = sentence_encoder(Precision::Full)?;
    for file in std::env::args().skip(1).filter(|it| it != "--bench") {
        let prompts = prompts_of(Path::new(&file))?;
        let texts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        let start = Instant::now();
        let mut splitter = Splitter {
            sentences: &sentences,
            kept_in: None,
            observe: &mut |_, _| ControlFlow::Continue(()),
        };
        let together = splitter.sides(&texts)?;
        let took = start.elapsed().as_secs_f64();
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let alone: Vec<Split> = texts
            .iter()
            .map(|_| match rng.random_range(0..20) {
                0 => Split::Validation,
                1 => Split::Test,
                _ => Split::Train,
            })
            .collect();
        for (name, sides, took) in [
            ("one by one", alone, 0.0),
            ("near-duplicates together", together, took),
        ] {
            let on = |side| {
                texts
                    .iter()
                    .zip(&sides)
                    .filter(move |(_, it)| **it == side)
                    .map(|(text, _)| *text)
            };
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("index");
            let mut ingest = Ingest::create(&path, &sentences, BuildOptions::default())?;
            for prompt in on(Split::Train) {
                ingest.take(Row {
                    prompt: prompt.to_owned(),
                    image: None,
                    vector: None,
                })?;
            }
            ingest.finish(&mut |_| ControlFlow::Continue(()))?;
            let index = Index::open(&path).map_err(unprompt::Error::from)?;
            let test: Vec<&str> = on(Split::Test).collect();
            let options = VectorOptions {
                k: 1,
                ef: Some(256),
                exact: false,
            };
            let embeddings = sentences.embed(&test)?;
            let nearest = embeddings.rows().map(|row| {
                let found = index.vector_search(row, &options, None)?;
                Ok(found.first().map_or(0.0, |it| it.score))
            });
            let nearest: Vec<f32> = nearest.collect::<Result<_>>()?;
            let count = nearest.len() as f64;
            let duplicates = nearest.iter().filter(|it| **it >= NEAR_DUPLICATE).count() as f64;
            let mean = nearest.iter().map(|it| f64::from(*it)).sum::<f64>() / count;
            println!(
                "{}, {name}, {count}, {:.3}, {mean:.3}, {took:.0}",
                texts.len(),
                duplicates / count
            );
        }
    }
    Ok(())
}
