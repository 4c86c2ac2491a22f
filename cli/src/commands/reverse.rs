//! `reverse`: image in, prompt out.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use unprompt::image::decode;
use unprompt::reverse::{ReverseAnswer, ReverseOptions, Reverser};
use unprompt_index::Index;

use super::{filter, image_files, predictor};
use crate::args::{Global, ReverseArgs};
use crate::output::status::{SomeFailed, line};
use crate::output::table;
use crate::stop;

pub(crate) fn run(args: &ReverseArgs, global: &Global) -> Result<()> {
    let options = ReverseOptions {
        k: args.hits.k,
        filter: filter(&args.hits)?,
        use_metadata: !args.no_metadata,
    };
    let predictor = predictor(&args.model, global)?;
    if predictor.confidence().is_none() {
        tracing::warn!(
            "the model {} has no fitted confidence, so every confidence is 0: unprompt evaluate \
             --model {} --fit-confidence",
            args.model,
            args.model
        );
    }
    let reverser = Reverser::new(Index::open(&args.index)?, predictor)?;
    let files = image_files(&args.images);
    let mut out = io::stdout().lock();
    let mut failed = 0;
    for path in &files {
        stop::check()?;
        match reverse(&reverser, path, &options) {
            Ok(answer) if args.hits.json => {
                serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            Ok(answer) => write_answer(&mut out, &answer)?,
            Err(error) => {
                failed += 1;
                eprintln!("unprompt: {}: {}", path.display(), line(&error));
            }
        }
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(SomeFailed {
            failed,
            total: files.len(),
        }
        .into())
    }
}

fn reverse(reverser: &Reverser, path: &Path, options: &ReverseOptions) -> Result<ReverseAnswer> {
    let bytes = decode::read_file(path)?;
    Ok(reverser.reverse(&path.display().to_string(), &bytes, options)?)
}

/// Words that are shown; `--json` has them all.
const WORDS_SHOWN: usize = 12;

fn write_answer(out: &mut impl Write, answer: &ReverseAnswer) -> io::Result<()> {
    let words: Vec<String> = answer
        .words
        .iter()
        .take(WORDS_SHOWN)
        .map(|word| format!("{} {:.0}%", word.word, word.probability * 100.0))
        .collect();
    let took = answer.took_ms;
    let took = took.decode + took.encode + took.search + took.reconstruct;
    writeln!(out, "{}  ({took:.1} ms)", answer.image)?;
    writeln!(out, "  {}", table::printable(&answer.prompt))?;
    writeln!(
        out,
        "  verdict {}, confidence {:.2}",
        table::verdict(answer.verdict),
        answer.confidence
    )?;
    if !words.is_empty() {
        writeln!(out, "  words: {}", words.join(", "))?;
    }
    writeln!(out, "{}", table::hits(&answer.hits))
}
