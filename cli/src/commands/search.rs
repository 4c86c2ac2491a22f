//! `search`: text in, prompts and their images out.

use std::io::{self, BufRead, Write, stdin};

use anyhow::{Context, Result};
use unprompt::search::{Mode, SearchOptions, search};
use unprompt_index::Index;

use super::{filter, sentence_encoder};
use crate::args::{Global, SearchArgs};
use crate::output::table;
use crate::stop;

pub(crate) fn run(args: &SearchArgs, global: &Global) -> Result<()> {
    let options = SearchOptions {
        mode: args.mode.into(),
        k: args.hits.k,
        offset: args.offset,
        min_score: args.min_score,
        ef: args.ef,
        exact: args.exact,
        filter: filter(&args.hits)?,
    };
    let index = Index::open(&args.index)?;
    let sentences = match options.mode {
        Mode::Keyword => None,
        Mode::Hybrid | Mode::Vector => Some(sentence_encoder(global)?),
    };
    let mut out = io::stdout().lock();
    let mut answer = |query: &str| -> Result<()> {
        stop::check()?;
        let answer = search(&index, sentences.as_ref(), query, &options)?;
        if args.hits.json {
            serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{query}  ({:.1} ms)", answer.took_ms)?;
            writeln!(out, "{}", table::hits(&answer.hits))?;
        }
        Ok(())
    };
    for text in &args.texts {
        if text == "-" {
            for line in stdin().lock().lines() {
                answer(&line.context("cannot read standard input as UTF-8 text")?)?;
            }
        } else {
            answer(text)?;
        }
    }
    Ok(())
}
