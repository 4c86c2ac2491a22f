//! Tiles of 16 by 16 sums in the tile registers of Intel's AMX (Sapphire Rapids and later): sixteen times as
//! many products a second as by its vector instructions.
//!
//! Panels and rows of pairs lie in memory as its instructions want them, so nothing is packed anew. Linux
//! gives a process the registers when it asks for them.

use std::ops::Range;

use super::pack::{Left, Panel};

/// Pairs that one instruction sums, and rows or columns of a tile.
pub(super) const TILE: usize = 16;

/// The thread's tile registers, shaped as [`Tiles::multiply`] wants them.
pub(super) struct Tiles {
    /// Registers belong to a thread.
    _of_thread: std::marker::PhantomData<*const ()>,
}

/// Whether the processor has tiles for bfloat16 and the kernel lets this process use them.
pub(super) fn is_there() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return x86_64::is_there();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    return false;
}

/// How many of `pairs` from the start of a block tiles can sum.
fn whole(pairs: usize) -> usize {
    pairs / TILE * TILE
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code)]
mod x86_64 {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;
    use std::marker::PhantomData;
    use std::sync::LazyLock;

    use super::*;

    static IS_THERE: LazyLock<bool> = LazyLock::new(|| {
        const AMX_BF16: u32 = 1 << 22;
        const AMX_TILE: u32 = 1 << 24;
        // From <asm/prctl.h> and the architecture's manual: the state of tile registers.
        const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_ulong = 18;
        let most = std::arch::x86_64::__cpuid(0).eax;
        let features = if most >= 7 {
            __cpuid_count(7, 0).edx
        } else {
            0
        };
        // SAFETY: the call takes two numbers and, by their meaning, only allows this process to use
        // registers that the kernel saves and restores; where it knows neither, it returns an error.
        let allowed = || unsafe {
            libc::syscall(
                libc::SYS_arch_prctl,
                ARCH_REQ_XCOMP_PERM,
                XFEATURE_XTILEDATA,
            ) == 0
        };
        features & AMX_BF16 != 0 && features & AMX_TILE != 0 && allowed()
    });

    /// The shapes of the tile registers: of each of eight, 16 rows of 64 bytes.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    static SHAPES: Shapes = Shapes {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
        rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
    };

    /// Where a tile's sums stand, for the instructions.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Sums {
        at: *mut f32,
        row_bytes: usize,
    }

    /// Sums that are not wanted, or not all of them.
    type Aside = [f32; TILE * TILE];

    pub(in super::super) fn is_there() -> bool {
        *IS_THERE
    }

    impl Tiles {
        /// The thread's registers, if there are any.
        pub(in super::super) fn new() -> Option<Self> {
            if !is_there() {
                return None;
            }
            // SAFETY: the processor has the instruction, and it reads the 64 bytes of `SHAPES`.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &SHAPES, options(nostack, readonly)) };
            Some(Self {
                _of_thread: PhantomData,
            })
        }

        /// As [`multiply`](super::super::tile::multiply), over as many pairs from the start of `block` as
        /// it can; how many.
        pub(in super::super) fn multiply(
            &self,
            out: &mut [f32],
            width: usize,
            left: &Left<'_>,
            panel: &Panel<'_>,
            block: Range<usize>,
            add: bool,
        ) -> usize {
            let pairs = whole(block.len());
            if left.pair_stride != 1 || pairs == 0 || left.rows == 0 {
                return 0;
            }
            let end = block.start + pairs;
            let panel_width = panel.vectors * TILE;
            assert!(end * panel_width <= panel.pairs.len());
            let last_row = left.rows.next_multiple_of(TILE) - 1;
            assert!(last_row * left.row_stride + end <= left.pairs.len());
            assert!(panel.columns.end <= width && left.rows * width <= out.len());
            assert!(panel.columns.len() <= panel_width);
            let mut asides = [[0f32; TILE * TILE]; 4];
            for row in (0..left.rows).step_by(2 * TILE) {
                for vector in (0..panel.vectors).step_by(2) {
                    // A tile beyond the last is the last once more, its sums put aside.
                    let rows = [
                        row,
                        if row + TILE < left.rows {
                            row + TILE
                        } else {
                            row
                        },
                    ];
                    let next = (vector + 1).min(panel.vectors - 1);
                    let vectors = [vector, next];
                    let place = |tile: usize| {
                        let (row, vector) = (rows[tile / 2], vectors[tile % 2]);
                        let twice = (tile / 2 == 1 && row == rows[0])
                            || (tile % 2 == 1 && vector == vectors[0]);
                        let column = panel.columns.start + vector * TILE;
                        let live_rows = TILE.min(left.rows - row);
                        let live_columns = TILE.min(panel.columns.end.saturating_sub(column));
                        (row * width + column, live_rows, live_columns, twice)
                    };
                    let sums: [Sums; 4] = std::array::from_fn(|tile| {
                        let (start, rows, columns, twice) = place(tile);
                        if rows == TILE && columns == TILE && !twice {
                            return Sums {
                                at: out[start..].as_mut_ptr(),
                                row_bytes: width * size_of::<f32>(),
                            };
                        }
                        let aside = &mut asides[tile];
                        if add && !twice {
                            for (row, to) in aside.chunks_exact_mut(TILE).enumerate().take(rows) {
                                let from = &out[start + row * width..][..columns];
                                to[..columns].copy_from_slice(from);
                            }
                        }
                        Sums {
                            at: aside.as_mut_ptr(),
                            row_bytes: TILE * size_of::<f32>(),
                        }
                    });
                    let a = rows.map(|row| &left.pairs[row * left.row_stride + block.start..]);
                    let b = vectors.map(|it| &panel.pairs[block.start * panel_width + it * TILE..]);
                    // SAFETY: the constructor saw that there are registers and shaped them. Of the left
                    // factor, rows up to `last_row` are read, `pairs` from `block.start` on of each: within
                    // it by the second assertion. Of the panel, as many rows, 16 pairs from column
                    // `it * 16` on, below `panel_width`: within it by the first. Sums are read and written
                    // in `asides`, or in 16 rows below `left.rows` of `out`, 16 columns of the panel each:
                    // within it by the third.
                    unsafe {
                        add_tiles(
                            &sums,
                            a.map(<[u32]>::as_ptr),
                            left.row_stride,
                            b.map(<[u32]>::as_ptr),
                            panel_width,
                            pairs / TILE,
                            add,
                        );
                    }
                    for (tile, aside) in asides.iter().enumerate() {
                        let (start, rows, columns, twice) = place(tile);
                        if twice || (rows == TILE && columns == TILE) {
                            continue;
                        }
                        for (row, from) in aside.chunks_exact(TILE).enumerate().take(rows) {
                            out[start + row * width..][..columns].copy_from_slice(&from[..columns]);
                        }
                    }
                }
            }
            pairs
        }
    }

    impl Drop for Tiles {
        fn drop(&mut self) {
            // SAFETY: the constructor saw that there are registers; nobody else uses those of this thread.
            unsafe { asm!("tilerelease", options(nomem, nostack)) };
        }
    }

    /// Adds the products of two tiles of rows with two of columns to four of sums, or writes them there.
    ///
    /// # Safety
    /// The tile registers must be shaped. From `a`, 16 rows of `16 * steps` pairs, `a_stride` pairs apart,
    /// must be readable, from `b` `16 * steps` rows of 16 pairs, `b_stride` apart, and the four tiles of `sums`
    /// must be one's own.
    #[inline]
    unsafe fn add_tiles(
        sums: &[Sums; 4],
        a: [*const u32; 2],
        a_stride: usize,
        b: [*const u32; 2],
        b_stride: usize,
        steps: usize,
        add: bool,
    ) {
        // SAFETY: the caller's promises; labels and flags are local.
        unsafe {
            asm!(
                "test {add:e}, {add:e}",
                "jz 2f",
                "mov {at}, [{sums}]",
                "mov {by}, [{sums} + 8]",
                "tileloadd tmm0, [{at} + {by}]",
                "mov {at}, [{sums} + 16]",
                "mov {by}, [{sums} + 24]",
                "tileloadd tmm1, [{at} + {by}]",
                "mov {at}, [{sums} + 32]",
                "mov {by}, [{sums} + 40]",
                "tileloadd tmm2, [{at} + {by}]",
                "mov {at}, [{sums} + 48]",
                "mov {by}, [{sums} + 56]",
                "tileloadd tmm3, [{at} + {by}]",
                "jmp 3f",
                "2:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "3:",
                "tileloadd tmm4, [{a0} + {a_stride}]",
                "tileloadd tmm6, [{b0} + {b_stride}]",
                "tileloadd tmm5, [{a1} + {a_stride}]",
                "tileloadd tmm7, [{b1} + {b_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, 64",
                "add {a1}, 64",
                "add {b0}, {b_step}",
                "add {b1}, {b_step}",
                "dec {steps}",
                "jnz 3b",
                "mov {at}, [{sums}]",
                "mov {by}, [{sums} + 8]",
                "tilestored [{at} + {by}], tmm0",
                "mov {at}, [{sums} + 16]",
                "mov {by}, [{sums} + 24]",
                "tilestored [{at} + {by}], tmm1",
                "mov {at}, [{sums} + 32]",
                "mov {by}, [{sums} + 40]",
                "tilestored [{at} + {by}], tmm2",
                "mov {at}, [{sums} + 48]",
                "mov {by}, [{sums} + 56]",
                "tilestored [{at} + {by}], tmm3",
                sums = in(reg) sums.as_ptr(),
                add = in(reg) u64::from(add),
                a0 = inout(reg) a[0] => _,
                a1 = inout(reg) a[1] => _,
                a_stride = in(reg) a_stride * size_of::<u32>(),
                b0 = inout(reg) b[0] => _,
                b1 = inout(reg) b[1] => _,
                b_stride = in(reg) b_stride * size_of::<u32>(),
                b_step = in(reg) b_stride * size_of::<u32>() * TILE,
                steps = inout(reg) steps => _,
                at = out(reg) _,
                by = out(reg) _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
impl Tiles {
    /// There are none.
    pub(super) fn new() -> Option<Self> {
        None
    }

    /// Sums nothing.
    pub(super) fn multiply(
        &self,
        _: &mut [f32],
        _: usize,
        _: &Left<'_>,
        _: &Panel<'_>,
        _: Range<usize>,
        _: bool,
    ) -> usize {
        0
    }
}
