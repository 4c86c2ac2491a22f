//! The walk through a graph: down the upper layers to the nearest node each (Malkov and Yashunin
//! 2016, algorithm 5), then best first through layer 0 with a list of the `ef` best (algorithm 2).
//!
//! Each node is visited once, and a step down must come nearer, so that a walk ends whatever the
//! links of a damaged file say.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use roaring::RoaringBitmap;

use super::layout::Graph;
use crate::distance;
use crate::error::{Error, Result};
use crate::vector::Candidate;
use crate::vector::flat::Rows;

/// Which nodes a walk has seen. Clearing takes no time: a node counts as seen if its stamp is that
/// of the current walk.
#[derive(Debug)]
pub(crate) struct Visited {
    stamps: Vec<u16>,
    current: u16,
}

impl Visited {
    pub(crate) fn new(nodes: usize) -> Visited {
        Visited {
            stamps: vec![0; nodes],
            current: 0,
        }
    }

    /// Forgets every node.
    pub(crate) fn clear(&mut self) {
        self.current = self.current.wrapping_add(1);
        if self.current == 0 {
            self.stamps.fill(0);
            self.current = 1;
        }
    }

    /// Marks a node; whether it is new. A node that does not exist never is.
    #[inline]
    pub(crate) fn insert(&mut self, node: u32) -> bool {
        match self.stamps.get_mut(node as usize) {
            Some(stamp) if *stamp != self.current => {
                *stamp = self.current;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn contains(&self, node: u32) -> bool {
        self.stamps.get(node as usize) == Some(&self.current)
    }
}

/// Visited sets that wait for the next search, as many as ever ran at once.
#[derive(Debug)]
pub(crate) struct Pool {
    nodes: usize,
    free: Mutex<Vec<Visited>>,
}

impl Pool {
    pub(crate) fn new(nodes: usize) -> Pool {
        Pool {
            nodes,
            free: Mutex::new(Vec::new()),
        }
    }

    fn with<T>(&self, walk: impl FnOnce(&mut Visited) -> T) -> T {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free().pop();
        let mut visited = taken.unwrap_or_else(|| Visited::new(self.nodes));
        visited.clear();
        let answer = walk(&mut visited);
        free().push(visited);
        answer
    }
}

impl<B: AsRef<[u8]>> Graph<B> {
    /// The `ef` nodes nearest to `query` that the walk finds, best first; with `accept`, those of
    /// its members, the others being walked through only.
    pub(crate) fn search(
        &self,
        rows: Rows<'_>,
        query: &[f32],
        ef: usize,
        accept: Option<&RoaringBitmap>,
        pool: &Pool,
    ) -> Result<Vec<Candidate>> {
        let Some(entry) = self.entry() else {
            return Ok(Vec::new());
        };
        let entry = rows.score(entry, query)?;
        let mut best = entry;
        for layer in (0..self.upper_layers()).rev() {
            loop {
                let before = best;
                for &node in self.upper(layer, before.row)? {
                    let candidate = rows.score(node, query)?;
                    if candidate.score > best.score {
                        best = candidate;
                    }
                }
                if best == before {
                    break;
                }
            }
        }
        let base = self.base();
        let accepted = |node| accept.is_none_or(|members| members.contains(node));
        let links = |node| base.neighbours(node);
        // Every node can be reached from the entry point, but not from every other: a walk that
        // runs dry where it landed goes on from there.
        let starts = [best, entry];
        pool.with(|visited| nearest(rows, query, &starts, ef, visited, links, accepted))
    }
}

/// The `ef` best accepted nodes that a best-first walk from `starts` finds, best first.
///
/// The walk ends when the best node not yet expanded is worse than the worst of `ef` accepted
/// ones; so the fewer are accepted, the further it goes, up to the whole graph.
pub(crate) fn nearest<'a>(
    rows: Rows<'_>,
    query: &[f32],
    starts: &[Candidate],
    ef: usize,
    visited: &mut Visited,
    links: impl Fn(u32) -> Result<&'a [u32]>,
    accepted: impl Fn(u32) -> bool,
) -> Result<Vec<Candidate>> {
    let mut best: BinaryHeap<Reverse<Candidate>> = BinaryHeap::new();
    let mut frontier = BinaryHeap::new();
    let mut fresh: Vec<u32> = Vec::new();
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
        if full
            && best
                .peek()
                .is_none_or(|worst| nearest.score < worst.0.score)
        {
            break;
        }
        fresh.clear();
        for &node in links(nearest.row)? {
            if visited.insert(node) {
                fresh.push(node);
                distance::prefetch(rows.get(node)?);
            }
        }
        for &node in &fresh {
            let candidate = rows.score(node, query)?;
            let full = best.len() >= ef;
            if full && best.peek().is_none_or(|worst| candidate <= worst.0) {
                continue;
            }
            frontier.push(candidate);
            if accepted(node) {
                if full {
                    best.pop();
                }
                best.push(Reverse(candidate));
            }
        }
    }
    Ok(best
        .into_sorted_vec()
        .into_iter()
        .map(|Reverse(candidate)| candidate)
        .collect())
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
    fn stamps_survive_their_overflow() {
        let mut visited = Visited::new(2);
        for walk in 0..70_000u32 {
            visited.clear();
            assert!(!visited.contains(walk % 2), "walk {walk}");
            assert!(
                visited.insert(walk % 2) && !visited.insert(walk % 2),
                "walk {walk}"
            );
        }
        assert!(!visited.insert(2), "there is no such node");
    }
}
