//! Searching an index: by vector, by keywords, or by both.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::index::Index;
use super::options::{SearchRequest, VectorOptions};
use super::{as_cosine, check_vector};
use crate::DEFAULT_EF;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::fusion::reciprocal_rank;
use crate::id::{EntryId, PromptId, Scored};
use crate::keyword::KeywordQuery;
use crate::record::{Hit, Scores};
use crate::segment::{Segment, Selection};
use crate::vector::Candidate;

/// Entries that each search is asked for, at least. A list that ends with the page would hide from
/// fusion what both searches rank a little lower, and cut between equal scores, whose order is
/// only known when all of them are there.
const LEAST_DEPTH: usize = 100;

/// A place in an answer before its prompt and images are fetched.
struct Ranked {
    entry: EntryId,
    id: PromptId,
    score: f32,
    keyword: Option<f32>,
}

impl Index {
    /// The `k` entries with the largest cosine to `query`, best first; with a filter, of those
    /// that it selects.
    ///
    /// # Errors
    /// [`Error::Dim`], [`Error::Vector`] if it is not a unit vector, [`Error::Corrupt`].
    pub fn vector_search(
        &self,
        query: &[f32],
        options: &VectorOptions,
        filter: Option<&Filter>,
    ) -> Result<Vec<Scored>> {
        self.nearest(query, options, &self.select(filter)?)
    }

    /// The `k` best entries by BM25, best first; with a filter, of those that it selects.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn keyword_search(
        &self,
        query: &KeywordQuery,
        k: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Scored>> {
        self.worded(query, k, &self.select(filter)?)
    }

    /// A page of hits. With a vector alone their score is the cosine, with keywords alone BM25;
    /// with both, the two searches are fused by reciprocal rank, and every hit has its cosine,
    /// found by that search or not. Equal scores stand in the order of their [`PromptId`].
    ///
    /// # Errors
    /// [`Error::Option`] without vector and keywords, or with `rrf_k` not above 0; [`Error::Dim`],
    /// [`Error::Vector`], [`Error::Corrupt`].
    pub fn search(&self, request: &SearchRequest) -> Result<Vec<Hit>> {
        let wanted = request.offset.saturating_add(request.k);
        let depth = wanted.max(LEAST_DEPTH).min(self.len());
        let selections = self.select(request.filter.as_ref())?;
        let vector = |query: &[f32], k| {
            let options = VectorOptions {
                k,
                ef: request.ef,
                exact: request.exact,
            };
            self.nearest(query, &options, &selections)
        };
        let mut ranked = match (&request.vector, &request.keywords) {
            (Some(query), None) => self.ranked(vector(query, depth)?, |_| None)?,
            (None, Some(words)) => self
                .ranked(self.worded(words, depth, &selections)?, |scored| {
                    Some(scored.score)
                })?,
            (Some(query), Some(words)) => {
                let rrf_k = request.rrf_k;
                if !(rrf_k > 0.0 && rrf_k.is_finite()) {
                    let why = format!("{rrf_k} is not above 0");
                    return Err(Error::Option { name: "rrf_k", why });
                }
                let by_vector = vector(query, depth)?;
                let by_words = self.worded(words, depth, &selections)?;
                let fused = reciprocal_rank(&[&by_vector, &by_words], rrf_k);
                let fused = fused.iter().map(|f| Scored {
                    entry: f.entry,
                    score: f.score,
                });
                let scores: HashMap<EntryId, f32> = by_words
                    .iter()
                    .map(|found| (found.entry, found.score))
                    .collect();
                let found_by_words = |scored: &Scored| scores.get(&scored.entry).copied();
                self.ranked(fused.collect(), found_by_words)?
            }
            (None, None) => {
                let why = "neither a vector nor keywords are given".into();
                return Err(Error::Option {
                    name: "vector",
                    why,
                });
            }
        };
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        let good = |hit: &Ranked| request.min_score.is_none_or(|least| hit.score >= least);
        let page = ranked.into_iter().filter(good).enumerate();
        let page = page.skip(request.offset).take(request.k);
        page.map(|(place, ranked)| self.hit(place + 1, &ranked, request, &selections))
            .collect()
    }

    fn ranked(
        &self,
        found: Vec<Scored>,
        keyword: impl Fn(&Scored) -> Option<f32>,
    ) -> Result<Vec<Ranked>> {
        let ranked = |scored: Scored| {
            let Scored { entry, score } = scored;
            Ok(Ranked {
                entry,
                id: self.id(entry)?,
                score,
                keyword: keyword(&scored),
            })
        };
        found.into_iter().map(ranked).collect()
    }

    fn hit(
        &self,
        rank: usize,
        ranked: &Ranked,
        request: &SearchRequest,
        selections: &[Option<Selection>],
    ) -> Result<Hit> {
        let &Ranked {
            entry,
            id,
            score,
            keyword,
        } = ranked;
        let query = request.vector.as_ref();
        let vector = query.map(|query| self.cosine(entry, query)).transpose()?;
        let selection = selections
            .get(entry.segment as usize)
            .and_then(Option::as_ref);
        let accept = selection.and_then(|selection| selection.images.as_ref());
        let segment = self.segment(entry)?;
        let (images, image_count) =
            segment.images(entry.ordinal, accept, request.images_per_hit)?;
        Ok(Hit {
            rank,
            id,
            prompt: self.prompt(entry)?,
            score,
            scores: Scores {
                vector,
                kernel: None,
                keyword,
            },
            images,
            image_count,
        })
    }

    /// What `filter` selects in each segment.
    fn select(&self, filter: Option<&Filter>) -> Result<Vec<Option<Selection>>> {
        let select = |segment: &Segment| filter.map(|filter| segment.select(filter)).transpose();
        self.segments.iter().map(select).collect()
    }

    fn nearest(
        &self,
        query: &[f32],
        options: &VectorOptions,
        selections: &[Option<Selection>],
    ) -> Result<Vec<Scored>> {
        check_vector(query, self.encoder().dim)?;
        let &VectorOptions { k, ef, exact } = options;
        let ef = ef.unwrap_or(DEFAULT_EF);
        let mut found = self.best(k, selections, |segment, accept| {
            segment.nearest(query, k, ef, exact, accept)
        })?;
        for scored in &mut found {
            scored.score = as_cosine(scored.score);
        }
        Ok(found)
    }

    fn worded(
        &self,
        query: &KeywordQuery,
        k: usize,
        selections: &[Option<Selection>],
    ) -> Result<Vec<Scored>> {
        self.best(k, selections, |segment, accept| {
            segment.prompts.search(query, k, accept)
        })
    }

    /// The `k` best that `search` finds in all segments.
    fn best(
        &self,
        k: usize,
        selections: &[Option<Selection>],
        search: impl Fn(&Segment, Option<&RoaringBitmap>) -> Result<Vec<Candidate>>,
    ) -> Result<Vec<Scored>> {
        let mut best = Vec::new();
        for ((segment, number), selection) in self.segments.iter().zip(0..).zip(selections) {
            let accept = selection.as_ref().map(|selection| &selection.prompts);
            best.extend(
                search(segment, accept)?
                    .into_iter()
                    .map(|Candidate { score, row }| Scored {
                        entry: EntryId {
                            segment: number,
                            ordinal: row,
                        },
                        score,
                    }),
            );
        }
        best.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.entry.cmp(&b.entry)));
        best.truncate(k);
        Ok(best)
    }
}
