//! Builds the graph with hnsw_rs, takes its links out, and makes every node reachable.
//!
//! hnsw_rs links a point to the nearest it finds and drops the farthest link of a neighbour whose
//! list is full, so that a point can lose every link that leads to it; among equal vectors that is
//! the rule, since only one of several equal candidates is kept. [`connect`] repairs it.

use std::ops::ControlFlow;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;
use rayon::prelude::*;

use super::layout::{Links, NO_NODE, UpperLinks};
use super::search::{Visited, nearest};
use crate::distance::dot;
use crate::error::{Error, Result};
use crate::vector::flat::Rows;

/// Rows linked between two reports of progress, which is also how long a request to stop may wait.
const CHUNK: usize = 1024;
/// Layers that hnsw_rs may use, its maximum.
const LAYERS: usize = 16;
/// Candidates among which a place for an unreachable node is sought.
const EF_CONNECT: usize = 64;

/// As [`BuildOptions`](crate::BuildOptions), checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    pub(crate) m: usize,
    pub(crate) ef_construction: usize,
    pub(crate) threads: usize,
}

/// One minus cosine, cut off at 0 because hnsw_rs refuses what rounding can make of equal vectors.
struct CosineDistance;

impl Distance<f32> for CosineDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

/// Links all rows. `progress` is told how many are linked.
pub(crate) fn build(
    rows: Rows<'_>,
    parameters: Parameters,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Links> {
    let Parameters {
        m,
        ef_construction,
        threads,
    } = parameters;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| Error::Option {
            name: "threads",
            why: error.to_string(),
        })?;
    let total = rows.len();
    let hnsw = Hnsw::<f32, CosineDistance>::new(m, total, LAYERS, ef_construction, CosineDistance);
    let insert = |row: usize| -> Result<()> {
        hnsw.insert_slice((rows.get(row as u32)?, row));
        Ok(())
    };
    // Points that are inserted before there is an entry point get no links at all.
    let mut done = 0;
    while done < total {
        let end = if done == 0 {
            1
        } else {
            total.min(done + CHUNK)
        };
        pool.install(|| (done..end).into_par_iter().try_for_each(insert))?;
        done = end;
        if progress(done).is_break() {
            return Err(Error::Cancelled);
        }
    }
    let mut links = take_links(&hnsw, m, total);
    links.ef_construction = ef_construction;
    pool.install(|| drop(hnsw));
    connect(&mut links, rows)?;
    Ok(links)
}

/// Copies the links out of hnsw_rs. Its lists may name a point itself, or points of lower layers.
fn take_links(hnsw: &Hnsw<'_, f32, CosineDistance>, m: usize, total: usize) -> Links {
    let mut base = vec![NO_NODE; total * 2 * m];
    let mut layers: Vec<Vec<(u32, Vec<u32>)>> = vec![Vec::new(); LAYERS - 1];
    let points = hnsw.get_point_indexation();
    for level in 0..LAYERS {
        for point in points.get_layer_iterator(level) {
            let node = point.get_origin_id() as u32;
            for (layer, list) in point
                .get_neighborhood_id()
                .into_iter()
                .enumerate()
                .take(level + 1)
            {
                let others = list
                    .iter()
                    .filter(|other| other.p_id.0 as usize >= layer && other.d_id != node as usize)
                    .map(|other| other.d_id as u32);
                if layer == 0 {
                    let start = node as usize * 2 * m;
                    for (slot, other) in base[start..start + 2 * m].iter_mut().zip(others) {
                        *slot = other;
                    }
                } else {
                    layers[layer - 1].push((node, others.take(m).collect()));
                }
            }
        }
    }
    while layers.last().is_some_and(Vec::is_empty) {
        layers.pop();
    }
    // hnsw_rs starts at the first point that reached the top layer; where there is but layer 0,
    // that is the first point of all.
    let entry = match layers.last().and_then(|layer| layer.first()) {
        Some((node, _)) => *node,
        None if total > 0 => 0,
        None => NO_NODE,
    };
    let upper = layers.into_iter().map(|layer| flatten(layer, m)).collect();
    Links {
        m,
        ef_construction: 0,
        entry,
        base,
        upper,
    }
}

fn flatten(mut layer: Vec<(u32, Vec<u32>)>, m: usize) -> UpperLinks {
    layer.sort_unstable_by_key(|(node, _)| *node);
    let mut flat = UpperLinks::default();
    for (node, list) in layer {
        flat.nodes.push(node);
        let empty = m - list.len();
        flat.links.extend(list);
        flat.links.extend(std::iter::repeat_n(NO_NODE, empty));
    }
    flat
}

/// Makes every node reachable from the entry point on layer 0.
///
/// An unreachable node is hung onto the nearest reachable one with a free slot. Where none of the
/// near ones has one, it is spliced into the last link of the nearest: `host -> far` becomes
/// `host -> node -> far`. That keeps all that was reachable so, and the links that the node may
/// lose in turn led nowhere reachable before.
fn connect(links: &mut Links, rows: Rows<'_>) -> Result<()> {
    if links.entry == NO_NODE {
        return Ok(());
    }
    let mut reached = Visited::new(rows.len());
    let mut visited = Visited::new(rows.len());
    reached.clear();
    flood(links, links.entry, &mut reached);
    for node in 0..rows.len() as u32 {
        if reached.contains(node) {
            continue;
        }
        visited.clear();
        let query = rows.get(node)?;
        let start = rows.score(links.entry, query)?;
        let list = |node| Ok(links.list(node));
        let near = nearest(
            rows,
            query,
            &[start],
            EF_CONNECT,
            &mut visited,
            list,
            |_| true,
        )?;
        let free = near
            .iter()
            .find(|host| links.list(host.row).len() < 2 * links.m);
        if let Some(host) = free.or(near.first()) {
            links.splice(host.row, node);
        }
        flood(links, node, &mut reached);
    }
    Ok(())
}

/// Marks all that can be reached from `start`.
fn flood(links: &Links, start: u32, reached: &mut Visited) {
    let mut stack = vec![start];
    reached.insert(start);
    while let Some(node) = stack.pop() {
        stack.extend(
            links
                .list(node)
                .iter()
                .filter(|&&next| reached.insert(next)),
        );
    }
}

impl Links {
    fn row(&mut self, node: u32) -> &mut [u32] {
        let width = 2 * self.m;
        &mut self.base[node as usize * width..][..width]
    }

    /// The neighbours of a node on layer 0.
    fn list(&self, node: u32) -> &[u32] {
        let width = 2 * self.m;
        let row = &self.base[node as usize * width..][..width];
        &row[..row
            .iter()
            .position(|&slot| slot == NO_NODE)
            .unwrap_or(width)]
    }

    /// Links `host` to `node`, and `node` to what `host` had to let go, if anything.
    fn splice(&mut self, host: u32, node: u32) {
        let displaced = self.put(host, node);
        if displaced != NO_NODE && !self.list(node).contains(&displaced) {
            self.put(node, displaced);
        }
    }

    /// Puts `node` into the first free slot of `host`, or else the last; what stood there.
    fn put(&mut self, host: u32, node: u32) -> u32 {
        let len = self.list(host).len();
        let row = self.row(host);
        std::mem::replace(&mut row[len.min(row.len() - 1)], node)
    }
}
