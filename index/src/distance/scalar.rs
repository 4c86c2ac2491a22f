//! Dot products in plain Rust, written so that a compiler can put it on vector registers.

/// Partial sums kept apart. They break the chain of dependent additions (64 = four AVX-512
/// registers, eight of AVX2), and rounding errors grow with n / 64 instead of n.
pub(super) const LANES: usize = 64;

/// The dot product of two slices of one length; `FUSED` rounds once per multiply-add and is only
/// fast where the processor has such an instruction.
#[inline(always)]
pub(super) fn dot<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    let add = |sum: f32, x: f32, y: f32| {
        if FUSED {
            x.mul_add(y, sum)
        } else {
            sum + x * y
        }
    };
    let mut sums = [0.0f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] = add(sums[lane], x[lane], y[lane]);
        }
    }
    for (lane, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[lane] = add(sums[lane], *x, *y);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// The dot product of two slices of one length, of numbers of 8 bits.
#[inline(always)]
pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    // Products of two i8 fit in i16, whose pairs most processors multiply and add in one go.
    let product = |(x, y): (&i8, &i8)| i32::from(*x) * i32::from(*y);
    a.iter().zip(b).map(product).sum()
}

/// Rows that are asked for before the first is needed.
const AHEAD: usize = 8;

/// What `dot` makes of a query and each of some rows of a table, into `dots`; whether all these
/// rows are there.
#[inline(always)]
pub(super) fn dots_i8(
    query: &[i8],
    table: &[i8],
    rows: &[u32],
    dots: &mut [i32],
    dot: impl Fn(&[i8], &[i8]) -> i32,
    prefetch: impl Fn(&[i8]),
) -> bool {
    let len = query.len();
    let row = |row: u32| {
        let start = row as usize * len;
        table.get(start..start + len)
    };
    for numbers in rows.iter().take(AHEAD).filter_map(|&it| row(it)) {
        prefetch(numbers);
    }
    for (place, (&it, sum)) in rows.iter().zip(dots).enumerate() {
        if let Some(numbers) = rows.get(place + AHEAD).and_then(|&it| row(it)) {
            prefetch(numbers);
        }
        let Some(numbers) = row(it) else {
            return false;
        };
        *sum = dot(numbers, query);
    }
    true
}
