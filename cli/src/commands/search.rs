//! `search`: text in, prompts and their images out.

use std::io::{self, BufRead, Write, stdin};
use std::path::Path;

use anyhow::{Context, Result, bail};
use unprompt::data::gallery;
use unprompt::image::decode;
use unprompt::metadata;
use unprompt::search::{Mode, SearchAnswer, SearchOptions, search, similar};
use unprompt_index::{EntryId, Fusion, Index};

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
        images_per_hit: if args.paths {
            usize::MAX
        } else {
            SearchOptions::default().images_per_hit
        },
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
    let mut show = |answer: SearchAnswer| -> Result<()> {
        if let Some(warning) = &answer.warning
            && !warned
        {
            tracing::warn!("{warning}");
            warned = true;
        }
        if args.paths {
            let images = answer.hits.iter().flat_map(|hit| &hit.images);
            for image in images {
                writeln!(out, "{}", image.image_name)?;
            }
        } else if args.hits.json {
            serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            let query = table::printable(&answer.query);
            writeln!(out, "{query}  ({:.1} ms)", answer.took_ms)?;
            if answer.hits.is_empty() {
                writeln!(out, "no hits")?;
            } else {
                writeln!(out, "{}", table::hits(&answer.hits))?;
            }
        }
        Ok(())
    };
    let ask = |query: &str| -> Result<SearchAnswer> {
        stop::check()?;
        Ok(search(&index, sentences, query, &options)?)
    };
    for path in &args.like {
        show(match like(&index, path)? {
            Like::Entry(entry) => similar(&index, entry, &options)?,
            Like::Prompt(prompt) => ask(&prompt)?,
        })?;
    }
    for text in &args.texts {
        if text == "-" {
            for line in stdin().lock().lines() {
                let line = line.context("cannot read standard input as UTF-8 text")?;
                if !line.trim().is_empty() {
                    show(ask(&line)?)?;
                }
            }
        } else {
            show(ask(text)?)?;
        }
    }
    Ok(())
}

/// What an image stands for.
enum Like {
    Entry(EntryId),
    Prompt(String),
}

fn like(index: &Index, path: &Path) -> Result<Like> {
    let as_file = gallery::image_name(path);
    let as_typed = path.to_str().map(str::to_owned);
    for name in as_file.iter().chain(&as_typed) {
        if let Some(&entry) = index.find_image(name)?.first() {
            return Ok(Like::Entry(entry));
        }
    }
    let unknown = || format!("{} is no image of the index", path.display());
    let bytes = decode::read_file(path).with_context(unknown)?;
    match metadata::read(&bytes) {
        Some(embedded) => Ok(Like::Prompt(embedded.prompt)),
        None => bail!(
            "{}, and the file carries no prompt: `unprompt reverse` predicts one from its pixels",
            unknown()
        ),
    }
}
