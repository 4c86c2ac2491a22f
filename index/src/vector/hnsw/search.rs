//! The walk through a graph: down the upper layers to the nearest node each (Malkov and Yashunin
//! 2016, algorithm 5), then best first through layer 0 with a list of the `ef` best (algorithm 2).
//! A walk goes by codes; what a search has found is ranked by the rows.
//!
//! Each node is visited once, and a step down must come nearer, so that a walk ends whatever the
//! links of a damaged file say.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use roaring::RoaringBitmap;

use super::layout::Graph;
use super::links::Neighbours;
use super::list::List;
use crate::error::{Error, Result};
use crate::vector::Candidate;
use crate::vector::rows::{Estimates, Query, Rows};

/// Which nodes a walk has seen: a bit each, so that the set of a walk stays in a near cache.
#[derive(Debug)]
pub(crate) struct Visited {
    nodes: usize,
    words: Vec<u64>,
    /// The words that are not zero.
    touched: Vec<u32>,
}

impl Visited {
    pub(crate) fn new(nodes: usize) -> Visited {
        Visited {
            nodes,
            words: vec![0; nodes.div_ceil(64)],
            touched: Vec::new(),
        }
    }

    /// Forgets every node.
    pub(crate) fn clear(&mut self) {
        for place in self.touched.drain(..) {
            self.words[place as usize] = 0;
        }
    }

    /// Marks a node; whether it is new. A node that does not exist never is.
    #[inline]
    pub(crate) fn insert(&mut self, node: u32) -> bool {
        if node as usize >= self.nodes {
            return false;
        }
        let (place, bit) = (node / 64, 1 << (node % 64));
        let word = &mut self.words[place as usize];
        if *word == 0 {
            self.touched.push(place);
        }
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(crate) fn contains(&self, node: u32) -> bool {
        let word = self.words.get(node as usize / 64);
        word.is_some_and(|word| word & (1 << (node % 64)) != 0)
    }
}

/// What a walk writes to, kept from walk to walk.
#[derive(Debug)]
pub(crate) struct Scratch {
    visited: Visited,
    list: List,
    best: BinaryHeap<Reverse<Candidate>>,
    frontier: BinaryHeap<Candidate>,
    fresh: Fresh,
}

/// The neighbours of a node that a walk has not seen before, and how near they are.
#[derive(Debug, Default)]
struct Fresh {
    nodes: Vec<u32>,
    near: Estimates,
}

impl Scratch {
    pub(crate) fn new(nodes: usize) -> Scratch {
        Scratch {
            visited: Visited::new(nodes),
            list: List::default(),
            best: BinaryHeap::new(),
            frontier: BinaryHeap::new(),
            fresh: Fresh::default(),
        }
    }

    fn clear(&mut self) {
        self.visited.clear();
        self.best.clear();
        self.frontier.clear();
    }
}

/// What waits for the next walk, as many as ever ran at once.
#[derive(Debug)]
pub(crate) struct Pool {
    nodes: usize,
    free: Mutex<Vec<Scratch>>,
}

impl Pool {
    pub(crate) fn new(nodes: usize) -> Pool {
        Pool {
            nodes,
            free: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn with<T>(&self, walk: impl FnOnce(&mut Scratch) -> T) -> T {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free().pop();
        let mut scratch = taken.unwrap_or_else(|| Scratch::new(self.nodes));
        let answer = walk(&mut scratch);
        free().push(scratch);
        answer
    }
}

impl<B: AsRef<[u8]>> Graph<B> {
    /// The `k` nodes nearest to `query`, and those that are nearly as near, of the `ef` that the walk
    /// finds, best first; with `accept`, of its members, the others being walked through only.
    pub(crate) fn search(
        &self,
        rows: Rows<'_>,
        query: &[f32],
        Width { k, ef }: Width,
        accept: Option<&RoaringBitmap>,
        pool: &Pool,
    ) -> Result<Vec<Candidate>> {
        let Some(entry) = self.entry() else {
            return Ok(Vec::new());
        };
        let near = rows.query(query);
        let entry = rows.estimate(entry, &near)?;
        let mut best = entry;
        for layer in (0..self.upper_layers()).rev() {
            best = descend(rows, &near, best, |node| self.upper(layer, node))?;
        }
        let base = self.base();
        // Every node can be reached from the entry point, but not from every other: a walk that
        // runs dry where it landed goes on from there.
        let starts = [best, entry];
        let mut found = pool.with(|scratch| match accept {
            None => nearest(rows, &near, &starts, ef, scratch, &base),
            Some(members) => {
                let accepted = |node| members.contains(node);
                nearest_accepted(rows, &near, &starts, ef, scratch, &base, accepted)
            }
        })?;
        rows.refine(&mut found, &near)?;
        found.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(last) = found.get(k.saturating_sub(1)) {
            let worst = last.score - rows.margin(&near);
            found.truncate(found.partition_point(|candidate| candidate.score >= worst));
        }
        for candidate in &found {
            rows.prefetch(candidate.row)?;
        }
        for candidate in &mut found {
            *candidate = rows.score(candidate.row, query)?;
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }
}

/// How many candidates a search is asked for, and how many its walk keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    pub(crate) k: usize,
    pub(crate) ef: usize,
}

/// Where steps from `start` to ever nearer neighbours end.
pub(super) fn descend<'a>(
    rows: Rows<'_>,
    query: &Query<'_>,
    start: Candidate,
    links: impl Fn(u32) -> Result<&'a [u32]>,
) -> Result<Candidate> {
    let mut best = start;
    loop {
        let before = best;
        for &node in links(before.row)? {
            let candidate = rows.estimate(node, query)?;
            if candidate.score > best.score {
                best = candidate;
            }
        }
        if best == before {
            return Ok(best);
        }
    }
}

/// The `ef` best nodes that a best-first walk from `starts` finds, best first.
///
/// The walk ends when each of the `ef` best it knows has been expanded.
pub(super) fn nearest(
    rows: Rows<'_>,
    query: &Query<'_>,
    starts: &[Candidate],
    ef: usize,
    scratch: &mut Scratch,
    links: &impl Neighbours,
) -> Result<Vec<Candidate>> {
    if ef > MAX_LIST {
        return nearest_accepted(rows, query, starts, ef, scratch, links, |_| true);
    }
    scratch.visited.clear();
    let Scratch {
        visited,
        list,
        fresh,
        ..
    } = scratch;
    list.clear(ef);
    for &start in starts {
        if visited.insert(start.row) {
            list.offer(start);
        }
    }
    while let Some(node) = list.expand() {
        fresh.take(links.of(node)?, visited);
        if let Some(next) = list.peek() {
            links.prefetch(next);
        }
        for candidate in fresh.estimates(rows, query)? {
            if list.offer(candidate) {
                links.prefetch(candidate.row);
            }
        }
    }
    Ok(list.candidates().collect())
}

/// Candidates that a [`List`] is fast for: 32 KiB of them fit in the nearest cache.
const MAX_LIST: usize = 4096;

impl Fresh {
    /// Takes those of `nodes` that have not been visited.
    fn take(&mut self, nodes: &[u32], visited: &mut Visited) {
        self.nodes.clear();
        self.nodes.resize(nodes.len(), 0);
        // Without a branch, which would be foretold wrongly every other time.
        let mut count = 0;
        for &node in nodes {
            self.nodes[count] = node;
            count += usize::from(visited.insert(node));
        }
        self.nodes.truncate(count);
    }

    /// How near they are to `query`.
    fn estimates(
        &mut self,
        rows: Rows<'_>,
        query: &Query<'_>,
    ) -> Result<impl Iterator<Item = Candidate>> {
        rows.estimates(&self.nodes, query, &mut self.near)?;
        let found = self.nodes.iter().zip(&self.near.scores);
        Ok(found.map(|(&row, &score)| Candidate { score, row }))
    }
}

/// The `ef` best accepted nodes that a best-first walk from `starts` finds, best first.
///
/// The walk ends when the best node not yet expanded is worse than the worst of `ef` accepted
/// ones; so the fewer are accepted, the further it goes, up to the whole graph.
fn nearest_accepted(
    rows: Rows<'_>,
    query: &Query<'_>,
    starts: &[Candidate],
    ef: usize,
    scratch: &mut Scratch,
    links: &impl Neighbours,
    accepted: impl Fn(u32) -> bool,
) -> Result<Vec<Candidate>> {
    scratch.clear();
    let Scratch {
        visited,
        best,
        frontier,
        fresh,
        ..
    } = scratch;
    for &start in starts {
        if visited.insert(start.row) {
            frontier.push(start);
            if accepted(start.row) && best.len() < ef {
                best.push(Reverse(start));
            }
        }
    }
    while let Some(nearest) = frontier.pop() {
        let full = best.len() >= ef;
        let worst = best.peek().map(|worst| worst.0.score);
        if full && worst.is_none_or(|worst| nearest.score < worst) {
            break;
        }
        fresh.take(links.of(nearest.row)?, visited);
        if let Some(next) = frontier.peek() {
            links.prefetch(next.row);
        }
        for candidate in fresh.estimates(rows, query)? {
            let full = best.len() >= ef;
            if full && best.peek().is_none_or(|worst| candidate <= worst.0) {
                continue;
            }
            frontier.push(candidate);
            if accepted(candidate.row) {
                if full {
                    best.pop();
                }
                best.push(Reverse(candidate));
            }
        }
    }
    let mut found: Vec<Candidate> = best.drain().map(|Reverse(candidate)| candidate).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Refuses a graph and rows that do not belong together.
pub(crate) fn check_pair(nodes: usize, rows: usize, path: &std::path::Path) -> Result<()> {
    if nodes == rows {
        return Ok(());
    }
    Err(Error::corrupt(
        path,
        "header",
        format!("{nodes} nodes, but there are {rows} vectors"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_its_nodes_until_it_is_cleared() {
        let mut visited = Visited::new(70);
        for _ in 0..3 {
            for node in [0, 63, 64, 69] {
                assert!(!visited.contains(node), "{node}");
                assert!(visited.insert(node) && !visited.insert(node), "{node}");
                assert!(visited.contains(node), "{node}");
            }
            for node in [70, 127, 128, u32::MAX] {
                assert!(
                    !visited.insert(node) && !visited.contains(node),
                    "no node {node}"
                );
            }
            assert!(!visited.contains(1));
            visited.clear();
        }
    }
}
