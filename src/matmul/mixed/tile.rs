//! Sums of a few rows and one panel, in registers.

use std::ops::Range;

use super::pack::{LANES, Left, Panel, SPARE_ROWS};

/// Whether [`multiply`] takes vector instructions.
pub(super) fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Multiplies all rows of `left` with a panel, over the pairs of `block`; adds the products to the
/// panel's columns of `out`, whose rows have `width` numbers, or writes them there.
pub(super) fn multiply(
    out: &mut [f32],
    width: usize,
    left: &Left<'_>,
    panel: &Panel<'_>,
    block: Range<usize>,
    add: bool,
) {
    #[cfg(target_arch = "x86_64")]
    if is_fast() {
        // SAFETY: the processor has what the function is compiled for, as just asked.
        #[allow(unsafe_code)]
        return unsafe { avx512::multiply(out, width, left, panel, block, add) };
    }
    portable(out, width, left, panel, block, add);
}

/// The same number by number.
fn portable(
    out: &mut [f32],
    width: usize,
    left: &Left<'_>,
    panel: &Panel<'_>,
    block: Range<usize>,
    add: bool,
) {
    let halves = |pair: u32| {
        [
            f32::from_bits(pair << 16),
            f32::from_bits(pair & 0xffff_0000),
        ]
    };
    let panel_width = panel.vectors * LANES;
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        for (place, out) in out[panel.columns.clone()].iter_mut().enumerate() {
            let sum: f32 = block
                .clone()
                .map(|pair| {
                    let a = halves(left.pairs[row * left.row_stride + pair * left.pair_stride]);
                    let b = halves(panel.pairs[pair * panel_width + place]);
                    a[0] * b[0] + a[1] * b[1]
                })
                .sum();
            *out = if add { *out + sum } else { sum };
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx512 {
    use std::arch::x86_64::{
        __m512, __m512bh, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_si512,
        _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
    };

    use super::*;

    /// # Safety
    /// The processor must have AVX-512 with bfloat16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn multiply(
        out: &mut [f32],
        width: usize,
        left: &Left<'_>,
        panel: &Panel<'_>,
        block: Range<usize>,
        add: bool,
    ) {
        // 14 to 24 sums, beside a panel's vectors and a number of the left factor: 32 registers.
        match panel.vectors {
            1 => tiles::<14, 1>(out, width, left, panel, block, add),
            2 => tiles::<12, 2>(out, width, left, panel, block, add),
            3 => tiles::<8, 3>(out, width, left, panel, block, add),
            _ => tiles::<6, 4>(out, width, left, panel, block, add),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn tiles<const ROWS: usize, const VECTORS: usize>(
        out: &mut [f32],
        width: usize,
        left: &Left<'_>,
        panel: &Panel<'_>,
        block: Range<usize>,
        add: bool,
    ) {
        assert!(ROWS <= SPARE_ROWS && VECTORS == panel.vectors && !block.is_empty());
        assert!(block.end * VECTORS * LANES <= panel.pairs.len());
        let last_row = left.rows + SPARE_ROWS - 1;
        let last = last_row * left.row_stride + (block.end - 1) * left.pair_stride;
        assert!(last < left.pairs.len());
        assert!(panel.columns.end <= width && left.rows * width <= out.len());
        assert!(panel.columns.len() <= VECTORS * LANES);
        let masks: [u16; VECTORS] = std::array::from_fn(|vector| {
            let live = panel.columns.len().saturating_sub(vector * LANES);
            if live >= LANES {
                u16::MAX
            } else {
                (1 << live) - 1
            }
        });
        for row in (0..left.rows).step_by(ROWS) {
            let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
            for pair in block.clone() {
                // SAFETY: `pair` is below `block.end`, so that the vectors end within the panel (second
                // assertion), and rows up to `row + ROWS - 1`, less than `left.rows + SPARE_ROWS`, stand
                // at most at `last` (third assertion).
                unsafe {
                    let b = panel.pairs.as_ptr().add(pair * VECTORS * LANES);
                    let b: [__m512bh; VECTORS] =
                        std::array::from_fn(|vector| pairs(b.add(vector * LANES)));
                    let a = left
                        .pairs
                        .as_ptr()
                        .add(row * left.row_stride + pair * left.pair_stride);
                    for (number, sums) in sums.iter_mut().enumerate() {
                        let a = everywhere(*a.add(number * left.row_stride));
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = _mm512_dpbf16_ps(*sum, a, b);
                        }
                    }
                }
            }
            let live = ROWS.min(left.rows - row);
            for (number, sums) in sums.iter().enumerate().take(live) {
                let start = (row + number) * width + panel.columns.start;
                for (vector, (sum, mask)) in sums.iter().zip(masks).enumerate() {
                    let start = start + vector * LANES;
                    if mask == 0 {
                        continue;
                    }
                    // SAFETY: only the numbers of `mask` are read and written. They are columns of the
                    // panel, which end within `width`, in a row below `left.rows`: within `out` by the
                    // fourth assertion.
                    unsafe { put(out.as_mut_ptr().add(start), mask, *sum, add) };
                }
            }
        }
    }

    /// # Safety
    /// 16 pairs must stand at `at`.
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[inline]
    unsafe fn pairs(at: *const u32) -> __m512bh {
        // SAFETY: the caller's promise for the load; both types are 512 bits of any value.
        unsafe { std::mem::transmute(_mm512_loadu_si512(at.cast())) }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    #[inline]
    fn everywhere(pair: u32) -> __m512bh {
        // SAFETY: both types are 512 bits of any value.
        unsafe { std::mem::transmute(_mm512_set1_epi32(pair.cast_signed())) }
    }

    /// # Safety
    /// The numbers of `mask` from `at` on must be one's own.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn put(at: *mut f32, mask: u16, sum: __m512, add: bool) {
        // SAFETY: the caller's promise; masked lanes are not touched.
        unsafe {
            let sum = if add {
                _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, at))
            } else {
                sum
            };
            _mm512_mask_storeu_ps(at, mask, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Matrix;
    use super::super::amx::Tiles;
    use super::super::pack::Panels;
    use super::*;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37).cos()).collect()
    }

    /// What `multiply` makes of a product over some pairs, beside what plain loops make.
    fn compare(
        sizes: [usize; 3],
        vectors: usize,
        transposed: bool,
        block: Range<usize>,
        multiply: impl Fn(&mut [f32], &Left<'_>, &Panel<'_>, bool),
    ) {
        let [rows, inner, columns] = sizes;
        let (a, b) = (values(rows * inner), values(inner * columns));
        let panels = Panels::with_vectors(Matrix::new(&b, inner, columns), vectors);
        let left = if transposed {
            Matrix::new(&a, inner, rows).transposed()
        } else {
            Matrix::new(&a, rows, inner)
        };
        let mut memory = vec![];
        let left = Left::new(left, &mut memory);
        for add in [true, false] {
            let mut outs = [vec![1f32; rows * columns], vec![1f32; rows * columns]];
            for panel in panels.panels() {
                multiply(&mut outs[0], &left, &panel, add);
                portable(&mut outs[1], columns, &left, &panel, block.clone(), add);
            }
            for (fast, plain) in outs[0].iter().zip(&outs[1]) {
                assert!(
                    (fast - plain).abs() < 1e-4,
                    "{fast} {plain}, {sizes:?} {add}"
                );
            }
        }
    }

    #[test]
    fn vector_instructions_make_what_plain_loops_make() {
        for columns in [5, 16, 33, 48, 64, 100] {
            for (vectors, transposed) in [(2, false), (4, false), (2, true), (4, true)] {
                let block = 2..23;
                compare(
                    [31, 45, columns],
                    vectors,
                    transposed,
                    block.clone(),
                    |out, left, panel, add| {
                        multiply(out, columns, left, panel, block.clone(), add);
                    },
                );
            }
        }
    }

    #[test]
    fn tile_registers_make_what_plain_loops_make() {
        let Some(tiles) = Tiles::new() else {
            return;
        };
        assert!(Tiles::new().is_none(), "a thread has one set of them");
        for rows in [1, 16, 17, 31, 32, 33, 70] {
            for (columns, vectors) in [(5, 2), (16, 2), (32, 2), (33, 2), (100, 2), (100, 4)] {
                for block in [0..16, 2..34, 3..51] {
                    compare(
                        [rows, 120, columns],
                        vectors,
                        false,
                        block.clone(),
                        |out, left, panel, add| {
                            let pairs =
                                tiles.multiply(out, columns, left, panel, block.clone(), add);
                            assert_eq!(pairs, block.len());
                        },
                    );
                }
            }
        }
        drop(tiles);
        assert!(Tiles::new().is_some());
    }
}
