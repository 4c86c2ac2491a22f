//! Text in, prompts and their images out.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use unprompt_index::{EntryId, Filter, Fusion, Hit, Index, KeywordQuery, SearchRequest};

use crate::error::{Error, Result, one_line};
use crate::indexing::check_encoder;
use crate::text::SentenceEncoder;

/// What a search compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Meaning and words, fused.
    #[default]
    Hybrid,
    /// Meaning alone.
    Vector,
    /// Words alone; needs no model.
    Keyword,
}

/// Settings of a search besides its text; the defaults are those of the command line.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// What is compared.
    pub mode: Mode,
    /// Hits wanted.
    pub k: usize,
    /// Best hits to leave out, for paging.
    pub offset: usize,
    /// Leaves out hits with a smaller score.
    pub min_score: Option<f32>,
    /// Candidates of the graph walk; more is slower and finds more.
    pub ef: Option<usize>,
    /// Compares with every vector instead of walking the graph.
    pub exact: bool,
    /// How meaning and words become one list, in [`Mode::Hybrid`].
    pub fusion: Fusion,
    /// Which prompts and images may be answered.
    pub filter: Option<Filter>,
    /// Images listed with a hit.
    pub images_per_hit: usize,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            k: 10,
            offset: 0,
            min_score: None,
            ef: None,
            exact: false,
            fusion: Fusion::default(),
            filter: None,
            images_per_hit: SearchRequest::default().images_per_hit,
        }
    }
}

/// The answer to one query: the JSON of `search`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SearchAnswer {
    /// The query.
    pub query: String,
    /// What was compared.
    pub mode: Mode,
    /// Time from query to hits in milliseconds, embedding included.
    pub took_ms: f64,
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// Why meaning was not compared, where it should have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Searches `index` for `query` with a sentence encoder, or without one for the reason given, which
/// [`Mode::Keyword`] does not need. Where [`Mode::Hybrid`] cannot embed the query, it answers by
/// keywords, with a warning.
///
/// # Errors
/// In [`Mode::Vector`], [`Error::NoSentenceEncoder`] if there is none, and
/// [`Error::EncoderMismatch`] if the index holds vectors of another; else what the index reports.
pub fn search(
    index: &Index,
    sentences: std::result::Result<&SentenceEncoder, &str>,
    query: &str,
    options: &SearchOptions,
) -> Result<SearchAnswer> {
    let start = Instant::now();
    let (vector, warning) = match options.mode {
        Mode::Keyword => (None, None),
        Mode::Vector => (Some(embed(index, sentences, query)?), None),
        Mode::Hybrid => match embed(index, sentences, query) {
            Ok(vector) => (Some(vector), None),
            Err(error) => {
                let why = one_line(&error);
                (None, Some(format!("found by keywords alone: {why}")))
            }
        },
    };
    let mut answer = search_embedded(index, query, vector, options)?;
    answer.took_ms = took_ms(start);
    answer.warning = warning;
    Ok(answer)
}

/// The same for a query that has been embedded; it is compared by its words alone where it has not.
///
/// # Errors
/// What the index reports.
pub fn search_embedded(
    index: &Index,
    query: &str,
    vector: Option<Vec<f32>>,
    options: &SearchOptions,
) -> Result<SearchAnswer> {
    let start = Instant::now();
    let by_words_alone = options.mode == Mode::Hybrid && vector.is_none();
    let hits = index.search(&SearchRequest {
        // Its unit is that of fused scores.
        min_score: options.min_score.filter(|_| !by_words_alone),
        ..request(vector, query, options)
    })?;
    Ok(SearchAnswer {
        query: query.to_owned(),
        mode: options.mode,
        took_ms: took_ms(start),
        hits,
        warning: None,
    })
}

/// All that the filter of `options` selects, in the order of ids.
///
/// # Errors
/// What the index reports; that there is no filter, too.
pub fn listed(index: &Index, options: &SearchOptions) -> Result<SearchAnswer> {
    let start = Instant::now();
    let hits = index.search(&SearchRequest {
        keywords: None,
        // It has no scores.
        min_score: None,
        ..request(None, "", options)
    })?;
    Ok(SearchAnswer {
        query: String::new(),
        mode: options.mode,
        took_ms: took_ms(start),
        hits,
        warning: None,
    })
}

/// More like a prompt of the index, without itself: what is near to its vector, and has its words.
///
/// # Errors
/// What the index reports.
pub fn similar(index: &Index, entry: EntryId, options: &SearchOptions) -> Result<SearchAnswer> {
    let start = Instant::now();
    let (id, query) = (index.id(entry)?, index.prompt(entry)?);
    let vector = match options.mode {
        Mode::Keyword => None,
        Mode::Hybrid | Mode::Vector => Some(index.vector(entry)?),
    };
    let mut hits = index.search(&SearchRequest {
        k: options.offset.saturating_add(options.k).saturating_add(1),
        offset: 0,
        ..request(vector, &query, options)
    })?;
    hits.retain(|hit| hit.id != id);
    let mut hits: Vec<Hit> = hits
        .into_iter()
        .skip(options.offset)
        .take(options.k)
        .collect();
    for (hit, rank) in hits.iter_mut().zip(options.offset + 1..) {
        hit.rank = rank;
    }
    Ok(SearchAnswer {
        query,
        mode: options.mode,
        took_ms: took_ms(start),
        hits,
        warning: None,
    })
}

fn request(vector: Option<Vec<f32>>, text: &str, options: &SearchOptions) -> SearchRequest {
    SearchRequest {
        vector,
        keywords: match options.mode {
            Mode::Hybrid | Mode::Keyword => Some(KeywordQuery::Text(text.to_owned())),
            Mode::Vector => None,
        },
        k: options.k,
        offset: options.offset,
        min_score: options.min_score,
        ef: options.ef,
        exact: options.exact,
        fusion: options.fusion,
        filter: options.filter.clone(),
        images_per_hit: options.images_per_hit,
        ..SearchRequest::default()
    }
}

fn took_ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn embed(
    index: &Index,
    sentences: std::result::Result<&SentenceEncoder, &str>,
    query: &str,
) -> Result<Vec<f32>> {
    let sentences = sentences.map_err(|why| Error::NoSentenceEncoder {
        why: why.to_owned(),
    })?;
    check_encoder(index.encoder(), sentences.identity())?;
    Ok(sentences.embed(&[query])?.into_vec())
}
