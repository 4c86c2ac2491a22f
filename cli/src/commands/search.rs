//! `search`: text in, prompts and their images out.

use std::io::{self, BufRead, Write, stdin};

use anyhow::{Context, Result};
use unprompt::search::{Mode, SearchOptions, search};
use unprompt_index::{Fusion, Index};

use super::{filter, sentence_encoder};
use crate::args::{FusionArg, Global, SearchArgs};
use crate::output::{status, table};
use crate::stop;

pub(crate) fn run(args: &SearchArgs, global: &Global) -> Result<()> {
    let options = SearchOptions {
        mode: args.mode.into(),
        k: args.hits.k,
        offset: args.offset,
        min_score: args.min_score,
        ef: args.ef,
        exact: args.exact,
        fusion: match args.fusion {
            FusionArg::Rrf => Fusion::ReciprocalRank { k: args.rrf_k },
            FusionArg::Weighted => Fusion::WeightedSum {
                vector: args.vector_weight,
            },
        },
        filter: filter(&args.hits)?,
    };
    let index = Index::open(&args.index)?;
    let sentences = match options.mode {
        Mode::Keyword => Err("none is loaded".to_owned()),
        Mode::Vector => Ok(sentence_encoder(global)?),
        Mode::Hybrid => sentence_encoder(global).map_err(|error| status::line(&error)),
    };
    let sentences = sentences.as_ref().map_err(String::as_str);
    let mut warned = false;
    let mut out = io::stdout().lock();
    let mut answer = |query: &str| -> Result<()> {
        stop::check()?;
        let answer = search(&index, sentences, query, &options)?;
        if let Some(warning) = &answer.warning
            && !warned
        {
            tracing::warn!("{warning}");
            warned = true;
        }
        if args.hits.json {
            serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{query}  ({:.1} ms)", answer.took_ms)?;
            if answer.hits.is_empty() {
                writeln!(out, "no hits")?;
            } else {
                writeln!(out, "{}", table::hits(&answer.hits))?;
            }
        }
        Ok(())
    };
    for text in &args.texts {
        if text == "-" {
            for line in stdin().lock().lines() {
                let line = line.context("cannot read standard input as UTF-8 text")?;
                if !line.trim().is_empty() {
                    answer(&line)?;
                }
            }
        } else {
            answer(text)?;
        }
    }
    Ok(())
}
