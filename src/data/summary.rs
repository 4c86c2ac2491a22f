//! What became of a source.

use std::ops::AddAssign;

/// How many unreadable rows a [`Summary`] describes.
pub(super) const MAX_PROBLEMS: usize = 5;

/// What became of the rows and files of one source, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows given out.
    pub rows: usize,
    /// Rows, or image files, without a prompt.
    pub empty: usize,
    /// Image files that are as they were when they were read before.
    pub unchanged: usize,
    /// Rows, or image files, that could not be read.
    pub invalid: usize,
    /// The first of those, as `file:line: why`; in Parquet files and DiffusionDB's parts the number
    /// is the row's, from 1.
    pub problems: Vec<String>,
    /// Files that belong to a source but are not there, or are broken: which and why. Rows of the
    /// front of a broken file may have been given out.
    pub missing: Vec<String>,
    /// What else there is to know: what was taken of a folder, and what was left out.
    pub notes: Vec<String>,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.empty += other.empty;
        self.unchanged += other.unchanged;
        self.invalid += other.invalid;
        self.problems.extend(other.problems);
        self.problems.truncate(MAX_PROBLEMS);
        self.missing.extend(other.missing);
        self.notes.extend(other.notes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_add_up() {
        let mut sum = Summary::default();
        for _ in 0..4 {
            sum += Summary {
                rows: 1,
                empty: 2,
                unchanged: 4,
                invalid: 3,
                problems: vec!["a".to_owned(), "b".to_owned()],
                missing: vec!["c".to_owned(); 3],
                notes: vec!["d".to_owned()],
            };
        }
        assert_eq!((sum.rows, sum.empty, sum.invalid), (4, 8, 12));
        assert_eq!(sum.unchanged, 16);
        assert_eq!((sum.problems.len(), sum.missing.len()), (5, 12));
        assert_eq!(sum.notes.len(), 4);
    }
}
