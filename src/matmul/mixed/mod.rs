//! Products of factors that are rounded to bfloat16, summed in `f32`.
//!
//! The processor's instruction multiplies and adds *pairs* at once, two neighbours along the inner
//! dimension. The right factor lies in panels of up to 64 columns, pair by pair; the left one in rows of
//! pairs, or pair by pair where it is transposed. A tile of a few rows and one panel is summed in
//! registers: of vectors, or in [tiles](amx) where the processor has them.

mod amx;
mod pack;
mod round;
mod tile;

use std::cell::RefCell;
use std::ops::Range;

use super::Matrix;
use amx::Tiles;
use pack::Left;
pub(super) use pack::Panels;

/// Pairs that are summed before the next panel's turn: so much of a panel stays in the nearest cache.
const BLOCK_PAIRS: usize = 192;

thread_local! {
    /// The left factor's memory, kept from product to product.
    static LEFT: RefCell<Vec<u32>> = const { RefCell::new(vec![]) };
}

/// Whether this processor has the instruction; without it, products are right but slow.
pub(super) fn is_fast() -> bool {
    tile::is_fast()
}

/// Adds `a b` to `out`, or writes it there.
pub(super) fn product(out: &mut [f32], a: Matrix<'_>, b: &Panels, add: bool) {
    LEFT.with_borrow_mut(|memory| {
        let left = Left::new(a, memory);
        let pairs = left.pairs();
        let tiles = Tiles::new();
        for start in (0..pairs).step_by(BLOCK_PAIRS) {
            let block: Range<usize> = start..(start + BLOCK_PAIRS).min(pairs);
            for panel in b.panels() {
                let add = add || start > 0;
                let width = b.columns();
                let summed = tiles.as_ref().map_or(0, |tiles| {
                    tiles.multiply(out, width, &left, &panel, block.clone(), add)
                });
                let rest = block.start + summed..block.end;
                if !rest.is_empty() {
                    tile::multiply(out, width, &left, &panel, rest, add || summed > 0);
                }
            }
        }
    });
}
