//! Dot products in plain Rust, written so that a compiler can put it on vector registers.

use half::f16;

use super::PACKED;

/// Partial sums kept apart. They break the chain of dependent additions (64 = four AVX-512
/// registers, eight of AVX2), and rounding errors grow with n / 64 instead of n.
pub(super) const LANES: usize = 64;

/// The dot product of two slices of one length, the first of which `widen` makes f32; `FUSED` rounds
/// once per multiply-add and is only fast where the processor has such an instruction.
#[inline(always)]
pub(super) fn dot<const FUSED: bool, T: Copy + Default>(
    a: &[T],
    b: &[f32],
    widen: impl Fn(&[T; LANES]) -> [f32; LANES],
) -> f32 {
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
        let x = widen(x);
        for lane in 0..LANES {
            sums[lane] = add(sums[lane], x[lane], y[lane]);
        }
    }
    if !a_rest.is_empty() {
        let mut x = [T::default(); LANES];
        x[..a_rest.len()].copy_from_slice(a_rest);
        for (lane, (x, y)) in widen(&x).iter().zip(b_rest).enumerate() {
            sums[lane] = add(sums[lane], *x, *y);
        }
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

/// Numbers that are f32 already, for [`dot`].
#[inline(always)]
pub(super) fn as_they_are(numbers: &[f32; LANES]) -> [f32; LANES] {
    *numbers
}

/// What 16 bits stand for, without the instruction for it.
#[inline(always)]
pub(super) fn widened(numbers: &[f16; LANES]) -> [f32; LANES] {
    // A half's exponent counts from -15 and a float's from -127: put in the place of a float's, it
    // stands for a number too small by 2^112.
    const EXPONENTS: f32 = f32::from_bits((127 + 112) << 23);
    numbers.map(|number| {
        let bits = u32::from(number.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * EXPONENTS;
        // The largest exponent is that of infinity and of what is no number.
        let special = if magnitude >= 65_536.0 { 0xff << 23 } else { 0 };
        f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
    })
}

/// Widens numbers of any count.
#[inline(always)]
pub(super) fn widen(
    numbers: &[f16],
    wide: &mut [f32],
    widened: impl Fn(&[f16; LANES]) -> [f32; LANES],
) {
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let (places, places_of_rest) = wide.as_chunks_mut::<LANES>();
    for (chunk, place) in chunks.iter().zip(places) {
        *place = widened(chunk);
    }
    let mut last = [f16::ZERO; LANES];
    last[..rest.len()].copy_from_slice(rest);
    places_of_rest.copy_from_slice(&widened(&last)[..rest.len()]);
}

/// The dot product of packed numbers of 4 bits with as many of 8 bits (see
/// [`dots_u4`](super::dots_u4)).
#[inline(always)]
pub(super) fn dot_u4(packed: &[u8], query: &[i8]) -> i32 {
    let (packed, _) = packed.as_chunks::<PACKED>();
    let (query, _) = query.as_chunks::<{ 2 * PACKED }>();
    let mut sum = 0;
    for (packed, query) in packed.iter().zip(query) {
        let (lower, upper) = query.split_at(PACKED);
        for ((byte, x), y) in packed.iter().zip(lower).zip(upper) {
            // Two products of 4 and 8 bits fit in 16.
            let lower = i16::from(byte & 15) * i16::from(*x);
            let upper = i16::from(byte >> 4) * i16::from(*y);
            sum += i32::from(lower + upper);
        }
    }
    sum
}

/// Rows that are asked for before the first is needed.
const AHEAD: usize = 8;

/// What `dot` makes of some rows of a table and a query of twice as many numbers as a row has
/// bytes, into `dots`; whether all these rows are there.
#[inline(always)]
pub(super) fn dots_u4(
    query: &[i8],
    table: &[u8],
    rows: &[u32],
    dots: &mut [i32],
    dot: impl Fn(&[u8], &[i8]) -> i32,
    prefetch: impl Fn(&[u8]),
) -> bool {
    let len = query.len() / 2;
    let row = |row: u32| {
        let start = row as usize * len;
        table.get(start..start + len)
    };
    for packed in rows.iter().take(AHEAD).filter_map(|&it| row(it)) {
        prefetch(packed);
    }
    for (place, (&it, sum)) in rows.iter().zip(dots).enumerate() {
        if let Some(packed) = rows.get(place + AHEAD).and_then(|&it| row(it)) {
            prefetch(packed);
        }
        let Some(packed) = row(it) else {
            return false;
        };
        *sum = dot(packed, query);
    }
    true
}
