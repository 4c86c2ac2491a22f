//! Where a published checkpoint keeps what our networks call by another name.

/// Where a tensor is, and which part of it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in the file.
    pub name: String,
    /// What of it is meant.
    pub part: Part,
}

/// What of a tensor is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, as it is.
    Whole,
    /// One of several equal parts of its rows: queries, keys and values are
    /// often published as one matrix.
    Rows {
        /// Which part.
        index: usize,
        /// Of how many.
        count: usize,
    },
    /// The matrix with rows and columns exchanged.
    Transposed,
}

impl Source {
    /// All of the tensor of this name.
    pub fn whole(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            part: Part::Whole,
        }
    }

    /// One of `count` equal parts of the rows of the tensor of this name.
    pub fn rows(name: impl Into<String>, index: usize, count: usize) -> Self {
        Self {
            name: name.into(),
            part: Part::Rows { index, count },
        }
    }

    /// The transposed matrix of this name.
    pub fn transposed(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            part: Part::Transposed,
        }
    }
}

/// `name`, whose beginning is ours in one of `parts`, with theirs instead; as it is if it begins with none.
pub fn renamed(name: &str, parts: &[(&str, &str)]) -> String {
    let found = parts
        .iter()
        .find_map(|(ours, theirs)| Some(format!("{theirs}{}", name.strip_prefix(ours)?)));
    found.unwrap_or_else(|| name.to_owned())
}

/// How a kind of checkpoint names things.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Where what our network calls so is kept.
    pub source: fn(&str) -> Source,
    /// Beginnings of the names of what the checkpoint may hold besides: other towers, other heads.
    pub others: &'static [&'static str],
    /// Ends of the names of tables that some versions of the reference saved and that follow from the sizes.
    pub tables: &'static [&'static str],
}

impl Layout {
    /// The names of the file are ours, and it holds nothing else.
    pub const SAME: Self = Self {
        source: |name| Source::whole(name),
        others: &[],
        tables: &[],
    };

    /// Whether the tensor of this name may be there without being used.
    pub(super) fn passes_over(&self, name: &str) -> bool {
        self.others.iter().any(|other| name.starts_with(other))
            || self.tables.iter().any(|table| name.ends_with(table))
    }
}
