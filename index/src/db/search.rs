//! Searching an index: by vector, by keywords, or by both.

use std::collections::HashMap;

use super::index::Index;
use super::options::{SearchRequest, VectorOptions};
use super::{as_cosine, check_vector};
use crate::DEFAULT_EF;
use crate::best::{Best, Found};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::fusion::Fusion;
use crate::id::{EntryId, Scored};
use crate::keyword::{Corpus, KeywordQuery};
use crate::record::{Hit, Ranks, Scores};
use crate::segment::{Segment, Selection, Walk};

/// Entries that each of two searches is asked for, and ten, a hundred, ... times as many where a
/// page lies beyond. A list that ends with the page would hide from fusion what both searches rank
/// a little lower, and pages of lists of different depths would not join.
const LEAST_DEPTH: usize = 100;

/// How deep lists are fused of which the first `wanted` are asked for.
fn depth(wanted: usize) -> usize {
    let mut depth = LEAST_DEPTH;
    while depth < wanted {
        depth = depth.saturating_mul(10);
    }
    depth
}

/// What a filter selects in each segment; all that is there without a filter.
type Selections = [Option<Selection>];

/// A place in an answer before its prompt and images are fetched.
struct Ranked {
    found: Found,
    keyword: Option<f32>,
    ranks: Ranks,
}

impl Index {
    /// The `k` entries with the largest cosine to `query`, best first; with a filter, of those
    /// that it selects. Equal cosines stand in the order of their [`PromptId`](crate::PromptId).
    ///
    /// # Errors
    /// [`Error::Dim`], [`Error::Vector`] if it is not a unit vector, [`Error::Corrupt`].
    pub fn vector_search(
        &self,
        query: &[f32],
        options: &VectorOptions,
        filter: Option<&Filter>,
    ) -> Result<Vec<Scored>> {
        Ok(scored(&self.nearest(
            query,
            options,
            &self.select(filter)?,
        )?))
    }

    /// The `k` best entries by BM25, best first; with a filter, of those that it selects. Equal
    /// scores stand in the order of their [`PromptId`](crate::PromptId).
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn keyword_search(
        &self,
        query: &KeywordQuery,
        k: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Scored>> {
        Ok(scored(&self.worded(query, k, &self.select(filter)?)?))
    }

    /// A page of hits. With one query by vector alone their score is the cosine, with keywords alone
    /// BM25; with several queries, the first 100 of each search are fused (the first 1000, if the page
    /// lies beyond, and so on; as many as `depth` says, where it is given), and every hit has its cosines,
    /// found by that search or not. Equal scores stand in the order of their [`PromptId`](crate::PromptId).
    /// Without any query, all that the filter selects is listed, with a score of 0.
    ///
    /// # Errors
    /// [`Error::Option`] without any query and without a filter, with a constant of the fusion out of range, or with a
    /// smallest score that is no number; [`Error::Dim`], [`Error::Vector`], [`Error::Corrupt`].
    pub fn search(&self, request: &SearchRequest) -> Result<Vec<Hit>> {
        request.fusion.check()?;
        if request.min_score.is_some_and(f32::is_nan) {
            let why = "it is not a number".to_owned();
            return Err(Error::Option {
                name: "min_score",
                why,
            });
        }
        let wanted = request.offset.saturating_add(request.k);
        let queries = usize::from(request.vector.is_some())
            + usize::from(request.kernel.is_some())
            + usize::from(request.keywords.is_some());
        let depth = request.depth.unwrap_or(match queries {
            2.. => depth(wanted),
            _ => wanted,
        });
        let depth = depth.min(self.len());
        let mut selections = self.select(request.filter.as_ref())?;
        if request.known_only {
            self.leave_out_predictions(&mut selections)?;
        }
        let options = VectorOptions {
            k: depth,
            ef: request.ef,
            exact: request.exact,
        };
        let near = |query: &Option<Vec<f32>>| -> Result<Option<Vec<Found>>> {
            let near = |query: &Vec<f32>| self.nearest(query, &options, &selections);
            query.as_ref().map(near).transpose()
        };
        let words = |words| self.worded(words, depth, &selections);
        let lists = Lists {
            vector: near(&request.vector)?,
            kernel: near(&request.kernel)?,
            words: request.keywords.as_ref().map(words).transpose()?,
        };
        let ranked = match queries {
            0 if request.filter.is_some() => self.listed(depth, &selections)?,
            _ => lists.ranked(request.fusion)?,
        };
        let good = |hit: &Ranked| {
            request
                .min_score
                .is_none_or(|least| hit.found.score >= least)
        };
        let page = ranked.into_iter().filter(good).enumerate();
        let page = page.skip(request.offset).take(request.k);
        page.map(|(place, ranked)| self.hit(place + 1, &ranked, request, &selections))
            .collect()
    }

    /// The first `k` prompts that are selected, by id.
    fn listed(&self, k: usize, selections: &Selections) -> Result<Vec<Ranked>> {
        let mut best = Best::new(k);
        for (segment, selection) in (0..).zip(selections) {
            for ordinal in selection.iter().flat_map(|it| &it.prompts) {
                let entry = EntryId { segment, ordinal };
                best.offer(0.0, entry, || self.id(entry))?;
            }
        }
        let listed = best.into_sorted().into_iter();
        let listed = listed.map(|found| Ranked {
            found,
            keyword: None,
            ranks: Ranks::default(),
        });
        Ok(listed.collect())
    }

    /// Takes the prompts out that are known from predictions alone.
    fn leave_out_predictions(&self, selections: &mut [Option<Selection>]) -> Result<()> {
        for (segment, selection) in self.segments.iter().zip(selections) {
            let predicted = segment.only_predicted()?;
            if predicted.is_empty() {
                continue;
            }
            let all = || Selection {
                prompts: segment.live_rows().collect(),
                images: segment.accept(None).and_then(|live| live.images.clone()),
            };
            selection.get_or_insert_with(all).prompts -= predicted;
        }
        Ok(())
    }

    fn hit(
        &self,
        rank: usize,
        ranked: &Ranked,
        request: &SearchRequest,
        selections: &Selections,
    ) -> Result<Hit> {
        let &Ranked {
            found: Found { score, id, entry },
            keyword,
            ranks,
        } = ranked;
        let cosine = |query: &Option<Vec<f32>>| {
            let cosine = |query: &Vec<f32>| self.cosine(entry, query);
            query.as_ref().map(cosine).transpose()
        };
        let selection = selections
            .get(entry.segment as usize)
            .and_then(Option::as_ref);
        let segment = self.segment(entry)?;
        let (images, image_count) =
            segment.images(entry.ordinal, selection, request.images_per_hit)?;
        Ok(Hit {
            rank,
            id,
            prompt: self.prompt(entry)?,
            score,
            scores: Scores {
                vector: cosine(&request.vector)?,
                kernel: cosine(&request.kernel)?,
                keyword,
            },
            ranks,
            images,
            image_count,
            vector: request
                .with_vectors
                .then(|| self.vector(entry))
                .transpose()?,
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
        selections: &Selections,
    ) -> Result<Vec<Found>> {
        check_vector(query, self.encoder().dim)?;
        let walk = Walk {
            k: options.k,
            ef: options.ef.unwrap_or(DEFAULT_EF),
            exact: options.exact,
        };
        let mut best = Best::new(walk.k);
        if walk.k > 0 {
            for (segment, selection) in self.segments.iter().zip(selections) {
                segment.nearest(query, walk, selection.as_ref(), &mut best)?;
            }
        }
        let mut found = best.into_sorted();
        for found in &mut found {
            found.score = as_cosine(found.score);
        }
        // Cosines that rounding took beyond 1 have become equal.
        found.sort_by(|a, b| b.cmp(a));
        Ok(found)
    }

    fn worded(
        &self,
        query: &KeywordQuery,
        k: usize,
        selections: &Selections,
    ) -> Result<Vec<Found>> {
        let parts = self.segments.iter().zip(selections);
        let parts = parts.map(|(segment, selection)| segment.part(selection.as_ref()));
        let corpus = Corpus {
            parts: parts.collect(),
        };
        corpus.best(query, k)
    }
}

fn scored(found: &[Found]) -> Vec<Scored> {
    found.iter().map(|found| found.scored()).collect()
}

/// What each query of a search has found, best first; `None` where there was no such query.
struct Lists {
    vector: Option<Vec<Found>>,
    kernel: Option<Vec<Found>>,
    words: Option<Vec<Found>>,
}

impl Lists {
    /// All that was found, best first: in the order of the only list, or fused.
    fn ranked(&self, fusion: Fusion) -> Result<Vec<Ranked>> {
        let lists = [&self.vector, &self.kernel, &self.words];
        let given: Vec<&Vec<Found>> = lists.into_iter().flatten().collect();
        let found = match given[..] {
            [] => {
                let why = "neither a vector, nor keywords, nor a filter are given".into();
                return Err(Error::Option {
                    name: "vector",
                    why,
                });
            }
            [only] => only.clone(),
            _ => self.fused(fusion)?,
        };
        let [vector, kernel, words] = lists.map(places);
        let ranked = |found: &Found| Ranked {
            found: *found,
            keyword: words.get(&found.entry).map(|(_, score)| *score),
            ranks: Ranks {
                vector: vector.get(&found.entry).map(|(rank, _)| *rank),
                kernel: kernel.get(&found.entry).map(|(rank, _)| *rank),
                keyword: words.get(&found.entry).map(|(rank, _)| *rank),
            },
        };
        Ok(found.iter().map(ranked).collect())
    }

    /// All lists as one, ties by id.
    fn fused(&self, fusion: Fusion) -> Result<Vec<Found>> {
        let vectors: Vec<&Vec<Found>> =
            [&self.vector, &self.kernel].into_iter().flatten().collect();
        let words = self.words.as_deref().unwrap_or_default();
        let found: HashMap<EntryId, Found> = vectors
            .iter()
            .copied()
            .flatten()
            .chain(words)
            .map(|found| (found.entry, *found))
            .collect();
        let by_vectors: Vec<Vec<Scored>> = vectors.iter().map(|list| scored(list)).collect();
        let by_vectors: Vec<&[Scored]> = by_vectors.iter().map(Vec::as_slice).collect();
        let fused = fusion.fuse(&by_vectors, &scored(words))?;
        let with_id = fused.iter().filter_map(|fused| {
            let found = found.get(&fused.entry)?;
            Some(Found {
                score: fused.score,
                ..*found
            })
        });
        let mut fused: Vec<Found> = with_id.collect();
        fused.sort_by(|a, b| b.cmp(a));
        Ok(fused)
    }
}

/// The rank, from 1, and the score of each entry of a list.
fn places(list: &Option<Vec<Found>>) -> HashMap<EntryId, (usize, f32)> {
    let ranks = list.iter().flatten().zip(1..);
    ranks.map(|(f, rank)| (f.entry, (rank, f.score))).collect()
}
