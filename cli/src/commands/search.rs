//! `search`: text in, prompts and their images out.

use std::io::{self, BufRead, Write, stdin};
use std::path::Path;

use anyhow::{Context, Result, bail};
use unprompt::data::gallery;
use unprompt::image::decode;
use unprompt::metadata;
use unprompt::search::{Mode, SearchAnswer, SearchOptions, listed, search, search_embedded};
use unprompt_index::{EntryId, Filter, Fusion, Index};

use super::{filter, sentences};
use crate::args::{FusionArg, Global, SearchArgs};
use crate::output::{status, table};
use crate::stop;

pub(crate) fn run(args: &SearchArgs, global: &Global) -> Result<()> {
    let is_listing = args.texts.is_empty() && args.like.is_empty();
    let options = SearchOptions {
        mode: args.mode.into(),
        k: if args.paths && is_listing {
            args.hits.k_or(usize::MAX)
        } else {
            args.hits.k_or(SearchOptions::default().k)
        },
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
        filter: selected(args)?,
        images_per_hit: if args.paths {
            usize::MAX
        } else {
            SearchOptions::default().images_per_hit
        },
    };
    let index = Index::open(&args.index)?;
    let likes = args.like.iter().map(|path| like(&index, path));
    let likes: Vec<Like> = likes.collect::<Result<_>>()?;
    // An image of the index has its vector there.
    let is_known = |like: &Like| matches!(like, Like::Image(..));
    let needs_no_encoder = args.texts.is_empty() && likes.iter().all(is_known);
    let sentences = match options.mode {
        Mode::Keyword => Err("none is loaded".to_owned()),
        Mode::Hybrid | Mode::Vector if needs_no_encoder => Err("none is loaded".to_owned()),
        Mode::Vector => Ok(sentences::of_index(&index, None, global)?),
        Mode::Hybrid => {
            sentences::of_index(&index, None, global).map_err(|error| status::line(&error))
        }
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
            let end = if args.null { '\0' } else { '\n' };
            for image in images {
                write!(out, "{}{end}", image.image_name)?;
            }
        } else if args.hits.json {
            serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            let query = match answer.query.as_str() {
                "" => args.hits.filter.as_deref().unwrap_or_default(),
                query => query,
            };
            let query = table::printable(query);
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
        if query.trim().is_empty() {
            bail!("the text is empty; leave it out to list all that --filter selects");
        }
        Ok(search(&index, sentences, query, &options)?)
    };
    if is_listing {
        show(listed(&index, &options)?)?;
    }
    for like in likes {
        show(match like {
            Like::Image(entry, name) => {
                stop::check()?;
                let vector = match options.mode {
                    Mode::Keyword => None,
                    Mode::Hybrid | Mode::Vector => Some(index.vector(entry)?),
                };
                let prompt = index.prompt(entry)?;
                let answer = search_embedded(&index, &prompt, vector, &with_room(&options))?;
                without(&name, answer, &options)
            }
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

/// The filter of the command line; where paths are wanted, a prompt without an image is no hit.
fn selected(args: &SearchArgs) -> Result<Option<Filter>> {
    let given = filter(&args.hits)?;
    if !args.paths {
        return Ok(given);
    }
    let with_images = match args.hits.filter.as_deref().map(str::trim) {
        None | Some("") => "image_name:*".to_owned(),
        Some(text) => format!("image_name:* AND ({text})"),
    };
    Ok(Some(Filter::parse(&with_images)?))
}

/// What an image stands for.
enum Like {
    /// The prompt of an image of the index, and the image's name.
    Image(EntryId, String),
    Prompt(String),
}

/// Options for an answer from which [`without`] takes what was asked about.
fn with_room(options: &SearchOptions) -> SearchOptions {
    SearchOptions {
        k: options.offset.saturating_add(options.k).saturating_add(1),
        offset: 0,
        ..options.clone()
    }
}

/// The wanted part of an answer, without the image that was asked about, and without its prompt if that has no other.
fn without(image: &str, mut answer: SearchAnswer, options: &SearchOptions) -> SearchAnswer {
    for hit in &mut answer.hits {
        let before = hit.images.len();
        hit.images.retain(|it| it.image_name != image);
        hit.image_count -= before - hit.images.len();
    }
    let asked = &answer.query;
    answer
        .hits
        .retain(|hit| hit.image_count > 0 || hit.prompt != *asked);
    answer.hits.drain(..options.offset.min(answer.hits.len()));
    answer.hits.truncate(options.k);
    for (hit, rank) in answer.hits.iter_mut().zip(options.offset + 1..) {
        hit.rank = rank;
    }
    answer
}

fn like(index: &Index, path: &Path) -> Result<Like> {
    let as_file = gallery::image_name(path);
    let as_typed = path.to_str().map(str::to_owned);
    for name in as_file.iter().chain(&as_typed) {
        if let Some(&entry) = index.find_image(name)?.first() {
            return Ok(Like::Image(entry, name.clone()));
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
