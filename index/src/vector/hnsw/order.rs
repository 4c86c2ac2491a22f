//! Which layers a row belongs to, and when it is inserted: both follow from its number alone, so
//! that equal rows give equal graphs.

use super::layout::MAX_UPPER;

/// The topmost layer of a row: at least `l` with probability `m^-l`, as in Malkov and Yashunin
/// (2016), section 4.1, with their `m_L = 1 / ln(m)`.
pub(super) fn level(row: u32, m: usize) -> usize {
    let m = m.max(2) as u64;
    let mut number = mix(row as u64);
    let mut level = 0;
    while number.is_multiple_of(m) && level < MAX_UPPER {
        number /= m;
        level += 1;
    }
    level
}

/// All rows in the order of their insertion: from the top layer down, so that the first is the
/// entry point for good, and shuffled within a layer, since rows that stand side by side are often
/// near-duplicates, which would not see each other in one batch.
pub(super) fn order(rows: usize, m: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    order.sort_by_cached_key(|&row| (MAX_UPPER - level(row, m), mix(!(row as u64))));
    order
}

/// A pseudo-random number of its own for every number: the output of SplitMix64 (Steele, Lea and
/// Flood 2014) for that state.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_its_share_of_the_one_below() {
        for m in [2usize, 16] {
            let rows = 100_000;
            let mut share = rows as f64;
            for layer in 1..4 {
                share /= m as f64;
                let found = (0..rows).filter(|&row| level(row, m) >= layer).count() as f64;
                // Five standard deviations of a Poisson count.
                let slack = 5.0 * share.sqrt();
                assert!(
                    (found - share).abs() < slack,
                    "m {m}, {layer}: {found}, {share}"
                );
            }
        }
    }

    #[test]
    fn every_row_comes_once_and_the_upper_layers_first() {
        let order = order(5000, 16);
        let levels: Vec<usize> = order.iter().map(|&row| level(row, 16)).collect();
        assert!(levels.is_sorted_by(|a, b| a >= b) && levels[0] > 1);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..5000));
        let neighbours = order
            .windows(2)
            .filter(|w| w[0].abs_diff(w[1]) < 50)
            .count();
        assert!(
            neighbours < 200,
            "{neighbours} of 5000 stand beside a near number"
        );
    }
}
