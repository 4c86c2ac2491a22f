//! What the fuzz targets in `fuzz/` run, and a test here with random damage: each function takes
//! any bytes whatever and returns, without a panic, soon, and without taking much memory.
//!
//! Bytes that a reader refuses at its first look tell little. So each function reads them as they
//! are, then with a header made right, and then as a recipe for a file that is right in all that
//! opening checks.

mod changes;
#[cfg(test)]
mod tests;

use std::path::Path;

use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64;

pub use self::changes::changes;
use crate::blocks::Blocks;
use crate::db::Encoder;
use crate::deleted::Deleted;
use crate::filter::Filter;
use crate::manifest::{Manifest, hex};
use crate::vector::element::Element;
use crate::vector::flat::{self, Vectors};
use crate::vector::hnsw::layout::Graph;
use crate::vector::hnsw::links::{Links, NO_NODE, Neighbours, UpperLinks};
use crate::vector::hnsw::search::{Pool, Width};
use crate::wire::HeaderWriter;

/// Numbers in the vectors that a graph is walked with: so few that walks go by rows, and so many
/// that they go by codes.
const DIMS: [usize; 2] = [4, 70];

/// `bytes` with label, byte order, version and checksum of a header of `len` bytes made right.
fn mended(bytes: &[u8], label: [u8; 8], len: usize) -> Vec<u8> {
    let mut mended = HeaderWriter::new(label, 1).finish(len);
    let body = 16..len - 8;
    for (mended, byte) in mended[body.clone()]
        .iter_mut()
        .zip(bytes.get(body.start..).unwrap_or_default())
    {
        *mended = *byte;
    }
    let checksum = xxh3_64(&mended[..body.end]);
    mended[body.end..].copy_from_slice(&checksum.to_le_bytes());
    mended.extend_from_slice(bytes.get(len..).unwrap_or_default());
    mended
}

/// Numbers from bytes, zeros when they run out.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }
}

/// The reader of `graph`, and walks through what it accepts.
pub fn graph(bytes: &[u8]) {
    walk(bytes.to_vec());
    walk(mended(bytes, *b"unpromtG", 128));
    let mut file = Vec::new();
    // Writing to memory does not fail.
    let _ = links(&mut Numbers(bytes)).write_to(&mut file);
    walk(file);
}

/// A graph of a few nodes whose links may go anywhere, to nodes that do not exist too.
fn links(numbers: &mut Numbers<'_>) -> Links {
    let nodes = numbers.below(40);
    let m = 1 + numbers.below(4);
    let mut upper: Vec<UpperLinks> = Vec::new();
    upper.resize_with(numbers.below(4), UpperLinks::default);
    let entry = match nodes {
        0 => NO_NODE,
        nodes => numbers.below(nodes) as u32,
    };
    let mut slot = || match numbers.byte() {
        255 => NO_NODE,
        254 => nodes as u32,
        byte => u32::from(byte) % nodes.max(1) as u32,
    };
    for layer in &mut upper {
        let count = slot() as usize % 8;
        layer.nodes = (0..count).map(|_| slot()).collect();
        layer.links = (0..count * m).map(|_| slot()).collect();
    }
    Links {
        m,
        ef_construction: 8,
        entry,
        spare: 0,
        base: (0..nodes * 2 * m).map(|_| slot()).collect(),
        upper,
    }
}

fn walk(bytes: Vec<u8>) {
    let Ok(graph) = Graph::new(bytes, Path::new("graph")) else {
        return;
    };
    for dim in DIMS {
        walk_among(&graph, dim);
    }
}

fn walk_among(graph: &Graph<Vec<u8>>, dim: usize) {
    let nodes = graph.len() as u32;
    let turned = |turn: f32| {
        let mut row = vec![0.0; dim];
        (row[0], row[1]) = (turn.cos(), turn.sin());
        row
    };
    let values: Vec<f32> = (0..nodes)
        .flat_map(|row| turned((row / 2) as f32))
        .collect();
    let Ok(vectors) = Vectors::new(flat::file(&values, dim, Element::F32), Path::new("vectors"))
    else {
        return;
    };
    let rows = vectors.rows();
    let pool = Pool::new(graph.len());
    let even: RoaringBitmap = (0..nodes).step_by(2).collect();
    for node in (0..nodes.min(300)).chain([nodes, NO_NODE]) {
        let _ = graph.base().of(node);
        for layer in 0..=graph.upper_layers() {
            let _ = graph.upper(layer, node);
        }
    }
    for (ef, accept) in [(1, None), (8, None), (5, Some(&even)), (1000, None)] {
        let found = graph.search(rows, &turned(0.9), Width { k: ef, ef }, accept, &pool);
        let Ok(found) = found else { continue };
        assert!(found.len() <= ef);
        assert!(found.is_sorted_by(|a, b| a > b), "sorted, and none twice");
        for candidate in &found {
            assert!(candidate.row < nodes);
            assert!(accept.is_none_or(|accept| accept.contains(candidate.row)));
        }
    }
}

/// The reader of `vectors`, and an exact search over what it accepts.
pub fn vectors(bytes: &[u8]) {
    scan(bytes.to_vec());
    scan(mended(bytes, *b"unpromtV", 64));
    let mut numbers = Numbers(bytes);
    let (dim, count) = (1 + numbers.below(100), numbers.below(30));
    let element = [Element::F32, Element::F16][numbers.below(2)];
    let mut file = flat::file(&vec![0.0; count * dim], dim, element);
    file[64..].fill_with(|| numbers.byte());
    scan(file);
}

fn scan(bytes: Vec<u8>) {
    let Ok(vectors) = Vectors::new(bytes, Path::new("vectors")) else {
        return;
    };
    let count = vectors.len() as u32;
    let mut query = vec![0.0; vectors.dim()];
    query[0] = 1.0;
    let rows = vectors.rows();
    let near = rows.query(&query);
    assert_eq!(rows.len(), vectors.len());
    for row in (0..count.min(300)).chain([count, NO_NODE]) {
        assert_eq!(rows.get(row).is_ok(), row < count);
        assert_eq!(vectors.id(row).is_ok(), row < count);
        if let Ok(found) = rows.score(row.min(count.saturating_sub(1)), &query) {
            assert!(found.score.is_finite());
        }
        if let Ok(found) = rows.estimate(row, &near) {
            assert!(row < count && found.score.is_finite());
            if let Ok(()) = rows.refine(&mut [found], &near) {
                assert!(rows.query_of(row).is_ok());
            }
        }
    }
}

/// The reader of the MANIFEST, and what is made of what it says.
pub fn manifest(bytes: &[u8]) {
    let path = Path::new("index/MANIFEST");
    let read = |bytes: &[u8]| {
        let Ok(manifest) = Manifest::<Encoder>::parse(bytes, path) else {
            return;
        };
        for segment in &manifest.segments {
            assert!(segment.live_prompts() <= segment.prompts);
            assert!(segment.live_images() <= segment.images);
            for (path, file) in segment.files(Path::new("index")).unwrap_or_default() {
                if let Some(blocks) = Blocks::parse(&file.blocks, &file.xxh3, file.len) {
                    let _ = blocks.check(b"nine byte", 0..9);
                }
                assert!(path.starts_with("index/segments"), "{path:?}");
                assert!(!path.components().any(|part| part.as_os_str() == ".."));
            }
        }
        let _ = crate::db::stats(&manifest, Path::new("index"));
    };
    read(bytes);
    let line = format!("unprompt-index 1 {}\n", hex(xxh3_64(bytes)));
    read(&[line.as_bytes(), bytes].concat());
}

/// The reader of `deleted-*`.
pub fn deleted(bytes: &[u8]) {
    let mended = mended(bytes, *b"unpromtD", 64);
    // Lengths of the sections that make up the file, wherever it is parted.
    let parted = |at: usize| {
        let mut file = mended.clone();
        let body = file.len() - 64;
        let first = at % (body + 1);
        let start = first.next_multiple_of(64).min(body);
        file[16..24].copy_from_slice(&(first as u64).to_le_bytes());
        file[24..32].copy_from_slice(&((body - start) as u64).to_le_bytes());
        self::mended(&file, *b"unpromtD", 64)
    };
    let at = usize::from(bytes.first().copied().unwrap_or(0));
    for file in [bytes.to_vec(), parted(at), parted(at * 64), mended.clone()] {
        let Ok(deleted) = Deleted::parse(&file, 100_000, 1000, Path::new("deleted")) else {
            continue;
        };
        assert!(deleted.prompts.max().is_none_or(|row| row < 100_000));
        assert!(deleted.images.max().is_none_or(|image| image < 1000));
        assert!(deleted.prompts.len() <= 100_000);
        assert!(deleted.prompts.iter().is_sorted_by(|a, b| a < b));
        assert_eq!(deleted.prompts.iter().count() as u64, deleted.prompts.len());
        let again = Deleted::parse(&deleted.to_bytes(), 100_000, 1000, Path::new("again"));
        assert_eq!(again.ok(), Some(deleted));
    }
}

/// Filters, of any text; the filter, if it is one.
pub fn filter(bytes: &[u8]) -> Option<Filter> {
    let text = String::from_utf8_lossy(bytes);
    match Filter::parse(&text) {
        Ok(filter) => Some(filter),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            None
        }
    }
}
