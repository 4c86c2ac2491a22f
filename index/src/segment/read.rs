//! Opens a segment and answers from it.

use std::path::Path;

use roaring::RoaringBitmap;

use super::{GRAPH, IMAGES, PROMPTS, VECTORS};
use crate::error::{Error, Result};
use crate::filter::{Filter, Level};
use crate::images::Images;
use crate::keyword::Prompts;
use crate::mmap::Mmap;
use crate::record::ImageRecord;
use crate::vector::Candidate;
use crate::vector::flat::Vectors;
use crate::vector::hnsw::layout::Graph;
use crate::vector::hnsw::search::{Pool, check_pair};

/// A filter is answered by comparing with each of its `matches` rows, not by a walk, when
/// `matches^2 <= EXACT_FACTOR * ef * rows`: a walk looks at some `ef * rows / matches` candidates
/// until `ef` of them match, each at the price of `EXACT_FACTOR` rows of a scan. Measured on 20 000
/// clustered vectors of 128 numbers, `ef` 32 to 256 and one row in 1 to 30 matching: both took
/// the same time at factors of 23 to 38 wherever they were within a factor of 20 of each other.
const EXACT_FACTOR: u64 = 30;

/// What a filter selects in one segment.
pub(crate) struct Selection {
    /// Rows of prompts.
    pub(crate) prompts: RoaringBitmap,
    /// Images that may be listed; all, if the filter says nothing of images.
    pub(crate) images: Option<RoaringBitmap>,
}

/// An opened segment.
pub(crate) struct Segment {
    pub(crate) vectors: Vectors<Mmap>,
    graph: Graph<Mmap>,
    pool: Pool,
    pub(crate) prompts: Prompts,
    images: Images,
}

impl Segment {
    /// Opens the folder `dir`, reading headers only.
    pub(crate) fn open(dir: &Path, dim: usize, prompts: usize, images: usize) -> Result<Segment> {
        let path = dir.join(VECTORS);
        let vectors = Vectors::new(Mmap::open(&path)?, &path)?;
        if (vectors.len(), vectors.dim()) != (prompts, dim) {
            let why = format!(
                "{} rows of {} numbers, but the MANIFEST says {prompts} of {dim}",
                vectors.len(),
                vectors.dim()
            );
            return Err(Error::corrupt(&path, "header", why));
        }
        let path = dir.join(GRAPH);
        let graph = Graph::new(Mmap::open(&path)?, &path)?;
        check_pair(graph.len(), prompts, &path)?;
        Ok(Segment {
            pool: Pool::new(prompts),
            vectors,
            graph,
            prompts: Prompts::open(&dir.join(PROMPTS), prompts)?,
            images: Images::open(&dir.join(IMAGES), images)?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.vectors.len()
    }

    /// What `filter` selects here.
    pub(crate) fn select(&self, filter: &Filter) -> Result<Selection> {
        let rows = self.len() as u32;
        let level = Level::Prompts(self.prompts.fields);
        let prompts = filter.matches(level, rows, &|query| self.prompts.select(query))?;
        let level = Level::Images(self.images.schema());
        let images =
            filter.matches(level, self.images.len(), &|query| self.images.select(query))?;
        let with_images = images
            .as_ref()
            .map(|images| self.images.prompts(images, rows));
        let prompts = match (prompts, with_images.transpose()?) {
            (None, None) => (0..rows).collect(),
            (Some(prompts), None) | (None, Some(prompts)) => prompts,
            (Some(prompts), Some(with_images)) => prompts & with_images,
        };
        Ok(Selection { prompts, images })
    }

    /// The `k` rows nearest to `query`, best first, keeping `ef` candidates on the way.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        exact: bool,
        accept: Option<&RoaringBitmap>,
    ) -> Result<Vec<Candidate>> {
        if k == 0 {
            return Ok(Vec::new());
        }
        let rows = self.vectors.rows();
        let ef = ef.max(k).min(self.len());
        if exact || accept.is_some_and(|accept| few(accept.len(), ef, self.len())) {
            return match accept {
                Some(accept) => rows.exact(query, k, accept.iter()),
                None => rows.exact(query, k, 0..self.len() as u32),
            };
        }
        let mut found = self.graph.search(rows, query, ef, accept, &self.pool)?;
        found.truncate(k);
        Ok(found)
    }

    /// The first `limit` images of a prompt, of `accept` if given, and how many there are.
    pub(crate) fn images(
        &self,
        row: u32,
        accept: Option<&RoaringBitmap>,
        limit: usize,
    ) -> Result<(Vec<ImageRecord>, usize)> {
        let images = self.images.of_prompt(row)?;
        let (first, count): (Vec<u32>, usize) = match accept {
            None => (images.clone().take(limit).collect(), images.len()),
            Some(accept) => (
                accept.range(images.clone()).take(limit).collect(),
                accept.range_cardinality(images) as usize,
            ),
        };
        let records = first.into_iter().map(|image| self.images.record(image));
        Ok((records.collect::<Result<_>>()?, count))
    }
}

/// Whether comparing with each of `matches` rows costs less than a walk that skips all others.
fn few(matches: u64, ef: usize, rows: usize) -> bool {
    let walk = EXACT_FACTOR
        .saturating_mul(ef as u64)
        .saturating_mul(rows as u64);
    matches.saturating_mul(matches) <= walk
}
