//! The file `graph`: layer 0 as fixed-width rows of neighbour ids, one row a node, then the few
//! nodes of each upper layer with rows of their own, and the node where every search starts.
//!
//! A slot that is not used holds [`NO_NODE`]; used slots come first. Ids are *not* checked when a
//! graph is opened, which reads the header only, but wherever one is followed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::links::{self, Links, NO_NODE, Neighbours};
use crate::distance;
use crate::error::{Error, Result};
use crate::vector::form::MAX_ROWS;
use crate::wire::{self, HeaderReader, HeaderWriter};

const LABEL: [u8; 8] = *b"unpromtG";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 128;

/// What made the links: [`build`](super::build) is the only builder so far.
const BUILDER_BATCHED: u16 = 2;
/// How a row is laid out. Only fixed-width rows of u32 are written so far.
const LAYOUT_FIXED_U32: u16 = 1;
/// How nodes are numbered. Only as the rows of `vectors` are, and the documents of `prompts/`.
const NUMBERING_ROWS: u16 = 1;

/// Layers above layer 0 that a file can have.
pub(crate) const MAX_UPPER: usize = 15;
/// Slots in a row of an upper layer; layer 0 has twice as many.
pub(crate) const MAX_M: usize = 128;

/// Where the sections of a graph start, from its counts alone.
struct Offsets {
    base_len: usize,
    /// Start of the nodes, start of the links.
    upper: Vec<(usize, usize)>,
    end: usize,
}

impl Offsets {
    fn new(nodes: usize, m: usize, upper: &[usize]) -> Option<Offsets> {
        let slots = |nodes: usize, m: usize| nodes.checked_mul(m)?.checked_mul(size_of::<u32>());
        let base_len = slots(nodes, 2 * m)?;
        let mut end = wire::align_up(HEADER_LEN.checked_add(base_len)?)?;
        let mut starts = Vec::with_capacity(upper.len());
        for &count in upper {
            let links = wire::align_up(end.checked_add(slots(count, 1)?)?)?;
            starts.push((end, links));
            end = wire::align_up(links.checked_add(slots(count, m)?)?)?;
        }
        Some(Offsets {
            base_len,
            upper: starts,
            end,
        })
    }
}

impl Links {
    /// Writes the file; sections in the order of [`Offsets`].
    pub(crate) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut header = HeaderWriter::new(LABEL, VERSION);
        header.u16(BUILDER_BATCHED);
        header.u16(LAYOUT_FIXED_U32);
        header.u32(self.m as u32);
        header.u64(self.nodes() as u64);
        header.u32(self.ef_construction as u32);
        header.u32(self.entry);
        header.u32(self.upper.len() as u32);
        for layer in 0..MAX_UPPER {
            let layer = self.upper.get(layer);
            header.u32(layer.map_or(0, |layer| layer.nodes.len() as u32));
        }
        header.u16(NUMBERING_ROWS);
        out.write_all(&header.finish(HEADER_LEN))?;
        write_section(out, &self.base)?;
        for layer in &self.upper {
            write_section(out, &layer.nodes)?;
            write_section(out, &layer.links)?;
        }
        Ok(())
    }
}

fn write_section(out: &mut impl Write, values: &[u32]) -> io::Result<()> {
    for value in values {
        out.write_all(&value.to_le_bytes())?;
    }
    out.write_all(wire::padding(size_of_val(values)))
}

/// The file, read in place.
#[derive(Debug)]
pub(crate) struct Graph<B> {
    bytes: B,
    path: PathBuf,
    nodes: usize,
    m: usize,
    entry: u32,
    /// Nodes of each upper layer, from layer 1.
    upper: Vec<usize>,
    offsets: Offsets,
}

impl std::fmt::Debug for Offsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Offsets({:?}, end {})", self.upper, self.end)
    }
}

impl<B: AsRef<[u8]>> Graph<B> {
    /// Checks the header, and that the length is what it says.
    pub(crate) fn new(bytes: B, path: &Path) -> Result<Graph<B>> {
        let damaged = |why: String| Error::corrupt(path, "header", why);
        let all = bytes.as_ref();
        let mut header = HeaderReader::new(all, HEADER_LEN, LABEL, VERSION, path)?;
        let (builder, layout) = (header.u16(), header.u16());
        if (builder, layout) != (BUILDER_BATCHED, LAYOUT_FIXED_U32) {
            return Err(damaged(format!(
                "unknown builder {builder} or layout {layout}"
            )));
        }
        let m = header.u32() as usize;
        let nodes = header.u64();
        let _ef_construction = header.u32();
        let entry = header.u32();
        let layers = header.u32() as usize;
        if m == 0 || m > MAX_M || nodes > MAX_ROWS as u64 || layers > MAX_UPPER {
            return Err(damaged(format!(
                "{nodes} nodes of {m} links in {layers} upper layers are out of range"
            )));
        }
        let nodes = nodes as usize;
        let mut upper: Vec<usize> = (0..MAX_UPPER).map(|_| header.u32() as usize).collect();
        upper.truncate(layers);
        let numbering = header.u16();
        if numbering != NUMBERING_ROWS {
            return Err(damaged(format!("unknown numbering {numbering}")));
        }
        if nodes == 0 && entry != NO_NODE || nodes > 0 && entry as usize >= nodes {
            return Err(damaged(format!("entry point {entry} of {nodes} nodes")));
        }
        let offsets = Offsets::new(nodes, m, &upper).filter(|offsets| offsets.end == all.len());
        let Some(offsets) = offsets else {
            let why = format!("{nodes} nodes of {m} links do not make {} bytes", all.len());
            return Err(Error::corrupt(path, "length", why));
        };
        if wire::section::<u32>(all, HEADER_LEN, offsets.base_len).is_none() {
            return Err(Error::corrupt(
                path,
                "layer 0",
                "it is not aligned in memory",
            ));
        }
        Ok(Graph {
            bytes,
            path: path.to_owned(),
            nodes,
            m,
            entry,
            upper,
            offsets,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes
    }

    /// Where searches start.
    pub(crate) fn entry(&self) -> Option<u32> {
        (self.entry != NO_NODE).then_some(self.entry)
    }

    /// Layers above layer 0.
    pub(crate) fn upper_layers(&self) -> usize {
        self.upper.len()
    }

    /// Layer 0, for [`Neighbours::of`].
    pub(crate) fn base(&self) -> Base<'_> {
        let slots = wire::section(self.bytes.as_ref(), HEADER_LEN, self.offsets.base_len);
        Base {
            slots: slots.unwrap_or_default(),
            width: 2 * self.m,
            path: &self.path,
        }
    }

    /// The neighbours of a node on an upper layer, the lowest of which is 0 here.
    pub(crate) fn upper(&self, layer: usize, node: u32) -> Result<&[u32]> {
        let damaged = |why: String| Error::corrupt(&self.path, "upper layers", why);
        let links = || {
            let (nodes_at, links_at) = *self.offsets.upper.get(layer)?;
            let count = *self.upper.get(layer)?;
            let bytes = self.bytes.as_ref();
            let nodes = wire::section::<u32>(bytes, nodes_at, count * size_of::<u32>())?;
            let position = nodes.binary_search(&node).ok()?;
            let len = self.m * size_of::<u32>();
            wire::section::<u32>(bytes, links_at + position * len, len)
        };
        let links =
            links().ok_or_else(|| damaged(format!("node {node} is not on layer {}", layer + 1)))?;
        used(links, self.nodes).map_err(damaged)
    }
}

/// Layer 0 of a graph, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Base<'a> {
    slots: &'a [u32],
    width: usize,
    path: &'a Path,
}

impl Neighbours for Base<'_> {
    /// The neighbours of a node, every one a node.
    #[inline]
    fn of(&self, node: u32) -> Result<&[u32]> {
        let damaged = |why: String| Error::corrupt(self.path, "layer 0", why);
        let start = node as usize * self.width;
        let row = self.slots.get(start..start + self.width);
        let row = row.ok_or_else(|| damaged(format!("there is no node {node}")))?;
        used(row, self.slots.len() / self.width).map_err(damaged)
    }

    #[inline]
    fn prefetch(&self, node: u32) {
        let start = node as usize * self.width;
        distance::prefetch(
            self.slots
                .get(start..start + self.width)
                .unwrap_or_default(),
        );
    }
}

/// The used slots of a row, if each holds one of the `nodes` nodes.
#[inline]
fn used(row: &[u32], nodes: usize) -> std::result::Result<&[u32], String> {
    let used = links::used(row);
    match used.iter().find(|&&slot| slot as usize >= nodes) {
        None => Ok(used),
        Some(slot) => Err(format!("neighbour {slot} of {nodes} nodes")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::UpperLinks;
    use super::*;

    fn bytes() -> Vec<u8> {
        let mut links = Links {
            m: 2,
            ef_construction: 8,
            spare: 0,
            entry: 2,
            base: vec![NO_NODE; 3 * 4],
            upper: vec![UpperLinks {
                nodes: vec![0, 2],
                links: vec![2, NO_NODE, 0, NO_NODE],
            }],
        };
        links.base[..2].copy_from_slice(&[1, 2]);
        let mut bytes = Vec::new();
        links.write_to(&mut bytes).unwrap();
        bytes
    }

    fn open(bytes: &[u8]) -> Result<Graph<Vec<u8>>> {
        Graph::new(bytes.to_vec(), Path::new("graph"))
    }

    #[test]
    fn links_come_back() {
        let graph = open(&bytes()).unwrap();
        assert_eq!(
            (graph.len(), graph.entry(), graph.upper_layers()),
            (3, Some(2), 1)
        );
        assert_eq!(graph.base().of(0).unwrap(), [1, 2]);
        assert!(graph.base().of(1).unwrap().is_empty());
        assert_eq!(graph.upper(0, 2).unwrap(), [0]);
        assert!(graph.upper(0, 1).is_err(), "not on that layer");
        assert!(graph.upper(1, 0).is_err(), "no such layer");
        assert!(graph.base().of(3).is_err() && graph.base().of(u32::MAX).is_err());
    }

    #[test]
    fn cut_or_foreign_ids_are_errors() {
        let good = bytes();
        for len in 0..good.len() {
            assert!(
                matches!(open(&good[..len]), Err(Error::Corrupt { .. })),
                "{len} bytes"
            );
        }
        let mut bad = good;
        bad[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&3u32.to_le_bytes());
        let graph = open(&bad).unwrap();
        assert!(matches!(
            graph.base().of(0),
            Err(Error::Corrupt {
                section: "layer 0",
                ..
            })
        ));
    }
}
