//! `reverse`: image in, prompt out.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use unprompt::image::decode;
use unprompt::reverse::{ReverseAnswer, ReverseOptions, Reverser};
use unprompt_index::Index;

use super::{filter, images, predictor};
use crate::args::{Global, ReverseArgs};
use crate::output::table;

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
    let mut out = io::stdout().lock();
    images::each(
        &args.images,
        |path| reverse(&reverser, path, &options),
        |answer| {
            if args.hits.json {
                serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?;
                Ok(writeln!(out)?)
            } else {
                Ok(write_answer(&mut out, &answer)?)
            }
        },
    )
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
