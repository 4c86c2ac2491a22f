//! BM25 (Robertson and Zaragoza, 2009), as tantivy computes it to the last bit.
//!
//! A prompt's score is a sum over the words of the query. What a word adds to it is its weight,
//! which depends on how rare it is, times a factor between 0 and 1, which depends on how often it
//! stands in the prompt and how long that is.

use tantivy::fieldnorm::FieldNormReader;

const K1: f32 = 1.2;
const B: f32 = 0.75;

/// Counts of a word in a prompt whose factors are read off a table; few prompts repeat a word more
/// often.
const TABLED: usize = 4;

/// The weight of a word that `frequency` of `prompts` prompts have.
pub(super) fn weight(frequency: u64, prompts: u64) -> f32 {
    let rarity = ((prompts - frequency) as f32 + 0.5) / (frequency as f32 + 0.5);
    (1.0 + rarity).ln() * (1.0 + K1)
}

/// Factors by the codes of lengths, which are tantivy's, and the counts of a word.
pub(super) struct Factors {
    norms: [f32; 256],
    table: [[f32; 256]; TABLED],
}

impl Factors {
    /// For prompts that have `average` words.
    pub(super) fn new(average: f32) -> Factors {
        let length = |code: usize| FieldNormReader::id_to_fieldnorm(code as u8) as f32;
        let norm = |code| K1 * (1.0 - B + B * length(code) / average);
        let norms = std::array::from_fn(norm);
        let row = |row: usize| norms.map(|norm| factor(row as u32 + 1, norm));
        Factors {
            norms,
            table: std::array::from_fn(row),
        }
    }

    /// Of a word that stands `count` times in a prompt with this code of its length.
    #[inline]
    pub(super) fn of(&self, count: u32, length: u8) -> f32 {
        match self.table.get((count as usize).wrapping_sub(1)) {
            Some(row) => row[usize::from(length)],
            None => factor(count, self.norms[usize::from(length)]),
        }
    }
}

#[inline]
fn factor(count: u32, norm: f32) -> f32 {
    let count = count as f32;
    count / (count + norm)
}

#[cfg(test)]
mod tests {
    use tantivy::query::Bm25Weight;

    use super::*;

    #[test]
    fn shares_are_tantivys() {
        for (frequency, prompts, average) in [(1, 1, 1.0), (3, 1000, 21.7), (900, 1000, 0.3)] {
            let theirs = Bm25Weight::for_one_term_without_explain(frequency, prompts, average);
            let (factors, weight) = (Factors::new(average), weight(frequency, prompts));
            for (count, length, boost) in (0..9)
                .flat_map(|count| (0..=255).map(move |length| (count * count, length)))
                .flat_map(|(count, length)| [1.0, 0.37].map(|boost| (count, length, boost)))
            {
                let ours = weight * boost * factors.of(count, length);
                let theirs = theirs.boost_by(boost).score(length, count);
                assert_eq!(
                    ours.to_bits(),
                    theirs.to_bits(),
                    "{count} times in {length}"
                );
            }
        }
    }
}
