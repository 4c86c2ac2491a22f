//! The last step of building: makes every node reachable.
//!
//! A neighbour whose list is full drops links, so that a node can lose every link that leads to
//! it; where many rows are equal, some do.

use super::links::{Layer, Links, NO_NODE};
use super::search::{Scratch, Visited, nearest};
use crate::error::Result;
use crate::vector::rows::Rows;

/// Candidates among which a place for an unreachable node is sought.
const EF_CONNECT: usize = 64;

/// Makes every node reachable from the entry point on layer 0.
///
/// An unreachable node is hung onto the nearest reachable one with a free slot. Where none of the
/// near ones has one, it is spliced into the last link of the nearest: `host -> far` becomes
/// `host -> node -> far`. That keeps all that was reachable so, and the links that the node may
/// lose in turn led nowhere reachable before.
pub(super) fn connect(links: &mut Links, rows: Rows<'_>) -> Result<()> {
    if links.entry == NO_NODE {
        return Ok(());
    }
    let mut reached = Visited::new(rows.len());
    let mut scratch = Scratch::new(rows.len());
    flood(links, links.entry, &mut reached);
    for node in 0..rows.len() as u32 {
        if reached.contains(node) {
            continue;
        }
        let query = rows.query_of(node)?;
        let start = rows.estimate(links.entry, &query)?;
        let layer = Layer { links, layer: 0 };
        let near = nearest(rows, &query, &[start], EF_CONNECT, &mut scratch, &layer)?;
        let free = near
            .iter()
            .find(|host| links.list(0, host.row).len() < links.width(0));
        if let Some(host) = free.or(near.first()) {
            splice(links, host.row, node);
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
        let list = links.list(0, node).iter();
        stack.extend(list.filter(|&&next| reached.insert(next)));
    }
}

/// Links `host` to `node`, and `node` to what `host` had to let go, if anything.
fn splice(links: &mut Links, host: u32, node: u32) {
    let displaced = links.put(host, node);
    if displaced != NO_NODE && !links.list(0, node).contains(&displaced) {
        links.put(node, displaced);
    }
}
