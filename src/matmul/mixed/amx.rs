//! Tiles of 16 by 16 sums in the tile registers of Intel's AMX (Sapphire Rapids and later): sixteen times as
//! many products a second as by its vector instructions.
//!
//! Panels and rows of pairs lie in memory as its instructions want them, so nothing is packed anew. Linux
//! gives a process the registers when it asks for them.

use std::ops::Range;

use super::pack::{Left, Panel};

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

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code)]
mod x86_64 {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;
    use std::cell::Cell;
    use std::marker::PhantomData;
    use std::sync::LazyLock;

    use super::*;

    /// Pairs that one instruction sums, and rows or columns of a tile.
    const TILE: usize = 16;

    /// Rows or columns of the four tiles that are summed at a time.
    const BLOCK: usize = 2 * TILE;

    thread_local! {
        /// Whether there are [`Tiles`] of this thread.
        static IN_USE: Cell<bool> = const { Cell::new(false) };
    }

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

    pub(in super::super) fn is_there() -> bool {
        *IS_THERE
    }

    impl Tiles {
        /// The thread's registers, if there are any that are not in use.
        pub(in super::super) fn new() -> Option<Self> {
            if !is_there() || IN_USE.replace(true) {
                return None;
            }
            // SAFETY: the processor has the instruction, and it reads the 64 bytes of `SHAPES`.
            unsafe {
                asm!(
                    "ldtilecfg [{}]",
                    in(reg) &SHAPES,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, readonly),
                );
            }
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
            let pairs = block.len() / TILE * TILE;
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
            // Sums that do not fill four tiles are put aside, and from there to their places.
            let mut aside = [0f32; BLOCK * BLOCK];
            for row in (0..left.rows).step_by(BLOCK) {
                for vector in (0..panel.vectors).step_by(2) {
                    // Instead of a tile beyond the last, the first once more.
                    let second = |first: usize, by: usize, end: usize| {
                        if first + by < end { first + by } else { first }
                    };
                    let rows = [row, second(row, TILE, left.rows)];
                    let vectors = [vector, second(vector, 1, panel.vectors)];
                    let a = rows.map(|row| &left.pairs[row * left.row_stride + block.start..]);
                    let b = vectors.map(|it| &panel.pairs[block.start * panel_width + it * TILE..]);
                    let column = panel.columns.start + vector * TILE;
                    let live_rows = BLOCK.min(left.rows - row);
                    let live_columns = BLOCK.min(panel.columns.end.saturating_sub(column));
                    let own = &mut out[row * width + column..];
                    let is_whole = live_rows == BLOCK && live_columns == BLOCK;
                    let (sums, stride) = if is_whole {
                        (own.as_mut_ptr(), width)
                    } else {
                        if add {
                            for (row, aside) in
                                aside.chunks_exact_mut(BLOCK).enumerate().take(live_rows)
                            {
                                let own = &own[row * width..][..live_columns];
                                aside[..live_columns].copy_from_slice(own);
                            }
                        }
                        (aside.as_mut_ptr(), BLOCK)
                    };
                    // SAFETY: the constructor saw that there are registers and shaped them, and no other
                    // `Tiles` of this thread could shape them anew. Of the left
                    // factor, rows up to `last_row` are read, `pairs` from `block.start` on of each: within
                    // it by the second assertion. Of the panel, as many rows, 16 pairs from column
                    // `it * 16` on, below `panel_width`: within it by the first. Sums are read and written
                    // in `aside`, or in 32 rows below `left.rows` of `out`, 32 columns of the panel each:
                    // within it by the third.
                    unsafe {
                        add_tiles(
                            (sums, stride),
                            (a.map(<[u32]>::as_ptr), left.row_stride),
                            (b.map(<[u32]>::as_ptr), panel_width),
                            pairs / TILE,
                            add,
                        );
                    }
                    if !is_whole {
                        for (row, aside) in aside.chunks_exact(BLOCK).enumerate().take(live_rows) {
                            let own = &mut own[row * width..][..live_columns];
                            own.copy_from_slice(&aside[..live_columns]);
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
            unsafe {
                asm!(
                    "tilerelease",
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nomem, nostack),
                );
            }
            IN_USE.set(false);
        }
    }

    /// Adds the products of two tiles of rows with two of columns to four of sums, or writes them there. Each
    /// pointer comes with how many numbers or pairs apart the rows lie there.
    ///
    /// # Safety
    /// The tile registers must be shaped. From each of `a`, 16 rows of `16 * steps` pairs must be readable, from
    /// each of `b` `16 * steps` rows of 16 pairs, and 32 rows of 32 numbers at `sums` must be one's own.
    #[inline]
    unsafe fn add_tiles(
        (sums, stride): (*mut f32, usize),
        (a, a_stride): ([*const u32; 2], usize),
        (b, b_stride): ([*const u32; 2], usize),
        steps: usize,
        add: bool,
    ) {
        // SAFETY: the caller's promises; labels and flags are local.
        unsafe {
            asm!(
                "test {add:e}, {add:e}",
                "jz 2f",
                "tileloadd tmm0, [{top} + {stride}]",
                "tileloadd tmm1, [{top} + {stride} + 64]",
                "tileloadd tmm2, [{bottom} + {stride}]",
                "tileloadd tmm3, [{bottom} + {stride} + 64]",
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
                "tilestored [{top} + {stride}], tmm0",
                "tilestored [{top} + {stride} + 64], tmm1",
                "tilestored [{bottom} + {stride}], tmm2",
                "tilestored [{bottom} + {stride} + 64], tmm3",
                add = in(reg) u64::from(add),
                top = in(reg) sums,
                bottom = in(reg) sums.add(TILE * stride),
                stride = in(reg) stride * size_of::<f32>(),
                a0 = inout(reg) a[0] => _,
                a1 = inout(reg) a[1] => _,
                a_stride = in(reg) a_stride * size_of::<u32>(),
                b0 = inout(reg) b[0] => _,
                b1 = inout(reg) b[1] => _,
                b_stride = in(reg) b_stride * size_of::<u32>(),
                b_step = in(reg) b_stride * size_of::<u32>() * TILE,
                steps = inout(reg) steps => _,
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
