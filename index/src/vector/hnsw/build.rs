//! Builds the graph in batches.
//!
//! HNSW (Malkov and Yashunin 2016, algorithm 1) inserts one point after the other. Here a batch of
//! points is inserted at once, as in ParlayANN (Manohar et al., PPoPP 2024): all
//! points of a batch look for their neighbours in the graph as it was before the batch, each on its
//! own; then the links are written, and those back from the neighbours, grouped by neighbour. So
//! threads only ever read what is shared, nothing is locked, and the graph does not depend on how
//! many threads there are. Points of one batch do not find each other, which is why batches stay
//! small beside what is already there.

use std::ops::ControlFlow;

use rayon::prelude::*;

use super::connect::connect;
use super::links::{Layer, Links, NO_NODE, UpperLinks};
use super::order::{level, order};
use super::search::{Pool, descend, nearest};
use super::select::select;
use crate::error::{Error, Result};
use crate::vector::Candidate;
use crate::vector::rows::Rows;

/// A batch has at most one row for so many that are linked already.
const BATCH_SHARE: usize = 32;
/// Rows of a batch at most, which is also how long a request to stop may wait.
const MAX_BATCH: usize = 4096;
/// Rows linked between two reports of progress, at least.
const REPORT: usize = 1024;

/// As [`BuildOptions`](crate::BuildOptions), checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    pub(crate) m: usize,
    pub(crate) ef_construction: usize,
    pub(crate) threads: usize,
}

/// Links all rows. `progress` is told how many are linked.
pub(crate) fn build(
    rows: Rows<'_>,
    parameters: Parameters,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Links> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(parameters.threads)
        .build()
        .map_err(|error| Error::Option {
            name: "threads",
            why: error.to_string(),
        })?;
    let order = order(rows.len(), parameters.m);
    let mut builder = Builder {
        rows,
        links: unlinked(&order, parameters),
        pool: Pool::new(rows.len()),
    };
    // The first is the entry point, which has nothing to be linked to yet.
    let mut done = order.len().min(1);
    let mut reported = 0;
    while done < order.len() {
        let size = (done / BATCH_SHARE).clamp(1, MAX_BATCH);
        let end = order.len().min(done + size);
        threads.install(|| builder.insert(&order[done..end]))?;
        done = end;
        if done - reported >= REPORT || done == order.len() {
            reported = done;
            if progress(done).is_break() {
                return Err(Error::Cancelled);
            }
        }
    }
    threads.install(|| builder.trim())?;
    connect(&mut builder.links, rows)?;
    Ok(builder.links)
}

/// A graph of all nodes, on their layers, without any links.
fn unlinked(order: &[u32], parameters: Parameters) -> Links {
    let m = parameters.m;
    let layer = |layer: usize| {
        // From the top layer down is the order of insertion.
        let count = order.partition_point(|&row| level(row, m) >= layer);
        let mut nodes = order[..count].to_vec();
        nodes.sort_unstable();
        let links = vec![NO_NODE; nodes.len() * m];
        UpperLinks { nodes, links }
    };
    let top = order.first().map_or(0, |&row| level(row, m));
    Links {
        m,
        ef_construction: parameters.ef_construction,
        entry: order.first().copied().unwrap_or(NO_NODE),
        spare: m,
        base: vec![NO_NODE; order.len() * 3 * m],
        upper: (1..=top).map(layer).collect(),
    }
}

struct Builder<'a> {
    rows: Rows<'a>,
    links: Links,
    pool: Pool,
}

/// What a batch finds out about one of its points.
struct Placed {
    node: u32,
    /// Its neighbours, from layer 0 upwards.
    lists: Vec<Vec<Candidate>>,
}

/// A link back from a neighbour.
struct Back {
    from: u32,
    to: Candidate,
}

impl Builder<'_> {
    /// Links the points of a batch.
    fn insert(&mut self, batch: &[u32]) -> Result<()> {
        let mut paths: Vec<(Vec<u32>, u32)> = batch
            .par_iter()
            .map(|&node| Ok((self.path(node)?, node)))
            .collect::<Result<_>>()?;
        // Points that go the same way down stand near each other. One after the other they find
        // each other's codes still in the cache, which saves the more, the less of them fits in:
        // 2% of the time with 77 MB of codes, and 19% when walks went by rows (50 000 of f32).
        paths.par_sort_unstable();
        let placed: Vec<Placed> = paths
            .par_iter()
            .map(|(path, node)| self.place(*node, path))
            .collect::<Result<_>>()?;
        for layer in 0..=self.links.upper.len() {
            self.write(layer, &placed)?;
        }
        Ok(())
    }

    /// The nodes nearest to a point that a descent finds, from the top layer down to layer 1.
    fn path(&self, node: u32) -> Result<Vec<u32>> {
        let query = self.rows.query_of(node)?;
        let mut best = self.rows.estimate(self.links.entry, &query)?;
        let layers = (1..=self.links.upper.len()).rev();
        layers
            .map(|layer| {
                best = descend(self.rows, &query, best, |node| {
                    Ok(self.links.list(layer, node))
                })?;
                Ok(best.row)
            })
            .collect()
    }

    /// Finds the neighbours of a point on each of its layers (algorithm 1, as far as it reads).
    fn place(&self, node: u32, path: &[u32]) -> Result<Placed> {
        let query = self.rows.query_of(node)?;
        let level = level(node, self.links.m);
        let above = path.len() - level;
        let start = path[..above].last().copied();
        let mut start = self
            .rows
            .estimate(start.unwrap_or(self.links.entry), &query)?;
        let mut lists = Vec::with_capacity(level + 1);
        for layer in (0..=level).rev() {
            let found = self.pool.with(|scratch| {
                let ef = self.links.ef_construction;
                let layer = Layer {
                    links: &self.links,
                    layer,
                };
                nearest(self.rows, &query, &[start], ef, scratch, &layer)
            })?;
            if let Some(&best) = found.first() {
                start = best;
            }
            // As many as there are slots, where the paper takes `m` on layer 0 as well: more is found
            // at the same pace.
            lists.push(select(self.rows, &found, self.links.degree(layer))?);
        }
        lists.reverse();
        Ok(Placed { node, lists })
    }

    /// Links the points of a batch on one layer, and their neighbours back to them.
    fn write(&mut self, layer: usize, placed: &[Placed]) -> Result<()> {
        let mut back = Vec::new();
        for point in placed {
            let Some(list) = point.lists.get(layer) else {
                continue;
            };
            let ids = list.iter().map(|neighbour| neighbour.row);
            self.links.set(layer, point.node, ids);
            back.extend(list.iter().map(|neighbour| Back {
                from: neighbour.row,
                to: Candidate {
                    score: neighbour.score,
                    row: point.node,
                },
            }));
        }
        back.par_sort_unstable_by_key(|link| (link.from, link.to.row));
        let grown: Vec<(u32, Vec<u32>)> = back
            .par_chunk_by(|a, b| a.from == b.from)
            .map(|links| self.grow(layer, links))
            .collect::<Result<_>>()?;
        for (node, list) in grown {
            self.links.set(layer, node, list.into_iter());
        }
        Ok(())
    }

    /// The new neighbours of the node that `back` leads from.
    fn grow(&self, layer: usize, back: &[Back]) -> Result<(u32, Vec<u32>)> {
        let node = back[0].from;
        let old = self.links.list(layer, node);
        let width = self.links.width(layer);
        if old.len() + back.len() <= width {
            let new = back.iter().map(|link| link.to.row);
            return Ok((node, old.iter().copied().chain(new).collect()));
        }
        let new = back.iter().map(|link| link.to);
        Ok((node, self.best(layer, node, new)?))
    }

    /// Those of a node's neighbours and of `new` that become its neighbours.
    fn best(
        &self,
        layer: usize,
        node: u32,
        new: impl Iterator<Item = Candidate>,
    ) -> Result<Vec<u32>> {
        let query = self.rows.query_of(node)?;
        let old = self.links.list(layer, node).iter();
        let old = old.map(|&neighbour| self.rows.estimate(neighbour, &query));
        let mut all: Vec<Candidate> = old.chain(new.map(Ok)).collect::<Result<_>>()?;
        all.sort_unstable_by(|a, b| b.cmp(a));
        let chosen = select(self.rows, &all, self.links.degree(layer))?;
        Ok(chosen.iter().map(|neighbour| neighbour.row).collect())
    }

    /// Gives up the spare slots of layer 0, and the neighbours that are too many then.
    fn trim(&mut self) -> Result<()> {
        let degree = self.links.degree(0);
        let mut base = vec![NO_NODE; self.rows.len() * degree];
        let rows = base.par_chunks_exact_mut(degree).enumerate();
        rows.try_for_each(|(node, row)| {
            let node = node as u32;
            let list = self.links.list(0, node);
            if list.len() <= degree {
                row[..list.len()].copy_from_slice(list);
            } else {
                let best = self.best(0, node, std::iter::empty())?;
                row[..best.len()].copy_from_slice(&best);
            }
            Ok(())
        })?;
        self.links.spare = 0;
        self.links.base = base;
        Ok(())
    }
}
