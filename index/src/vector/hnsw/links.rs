//! The links of a graph in memory, between builder and file.

use crate::distance;
use crate::error::Result;

/// Ends a row that has fewer neighbours than slots; as entry point: there is no node.
pub(crate) const NO_NODE: u32 = u32::MAX;

/// Who is whose neighbour.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) m: usize,
    pub(crate) ef_construction: usize,
    pub(crate) entry: u32,
    /// Slots of a row of layer 0 beyond `2 * m` while links are made: a full row that gets one more
    /// is chosen from anew, which is then seldom.
    pub(crate) spare: usize,
    /// Rows of `2 * m + spare` slots, a row a node.
    pub(crate) base: Vec<u32>,
    /// From layer 1 upwards.
    pub(crate) upper: Vec<UpperLinks>,
}

/// The links of one upper layer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct UpperLinks {
    /// The nodes of the layer, ascending.
    pub(crate) nodes: Vec<u32>,
    /// Rows of `m` slots, in the order of `nodes`.
    pub(crate) links: Vec<u32>,
}

impl Links {
    pub(crate) fn nodes(&self) -> usize {
        self.base.len() / self.width(0)
    }

    /// Neighbours of a node on a layer, the lowest of which is 0, at most when all are made.
    pub(crate) fn degree(&self, layer: usize) -> usize {
        if layer == 0 { 2 * self.m } else { self.m }
    }

    /// Slots in a row of a layer.
    pub(crate) fn width(&self, layer: usize) -> usize {
        let spare = if layer == 0 { self.spare } else { 0 };
        self.degree(layer) + spare
    }

    /// The neighbours of a node on a layer; none where it is not on that layer.
    pub(crate) fn list(&self, layer: usize, node: u32) -> &[u32] {
        let width = self.width(layer);
        let row = if layer == 0 {
            &self.base[node as usize * width..][..width]
        } else {
            let upper = &self.upper[layer - 1];
            match upper.nodes.binary_search(&node) {
                Ok(place) => &upper.links[place * width..][..width],
                Err(_) => &[],
            }
        };
        used(row)
    }

    /// Replaces the neighbours of a node on one of its layers, at most as many as a row has slots.
    pub(crate) fn set(&mut self, layer: usize, node: u32, list: impl Iterator<Item = u32>) {
        let mut list = list.fuse();
        for slot in self.row(layer, node) {
            *slot = list.next().unwrap_or(NO_NODE);
        }
    }

    /// Puts `node` into the first free slot of `host` on layer 0, or else the last; what stood
    /// there.
    pub(super) fn put(&mut self, host: u32, node: u32) -> u32 {
        let len = self.list(0, host).len();
        let row = self.row(0, host);
        std::mem::replace(&mut row[len.min(row.len() - 1)], node)
    }

    fn row(&mut self, layer: usize, node: u32) -> &mut [u32] {
        let width = self.width(layer);
        if layer == 0 {
            return &mut self.base[node as usize * width..][..width];
        }
        let upper = &mut self.upper[layer - 1];
        match upper.nodes.binary_search(&node) {
            Ok(place) => &mut upper.links[place * width..][..width],
            Err(_) => &mut [],
        }
    }
}

/// Who is linked to whom on one layer.
pub(crate) trait Neighbours {
    /// The neighbours of a node.
    fn of(&self, node: u32) -> Result<&[u32]>;

    /// Asks for what [`Neighbours::of`] will read.
    fn prefetch(&self, node: u32);
}

/// One layer of links that are being made.
pub(super) struct Layer<'a> {
    pub(super) links: &'a Links,
    /// The lowest is 0.
    pub(super) layer: usize,
}

impl Neighbours for Layer<'_> {
    fn of(&self, node: u32) -> Result<&[u32]> {
        Ok(self.links.list(self.layer, node))
    }

    fn prefetch(&self, node: u32) {
        if self.layer == 0 {
            let width = self.links.width(0);
            distance::prefetch(&self.links.base[node as usize * width..][..width]);
        }
    }
}

/// The slots of a row that hold a neighbour.
#[inline]
pub(super) fn used(row: &[u32]) -> &[u32] {
    let len = row.iter().position(|&slot| slot == NO_NODE);
    &row[..len.unwrap_or(row.len())]
}
