//! Filters.
use crate::error::Result;

/// Which prompts and images may be answered; see [`Filter::parse`].
#[derive(Clone, Debug)]
pub struct Filter {}

impl Filter {
    /// Reads a filter, e.g. `cfg:[7 TO 12] AND sampler:k_lms AND -prompt:anime`.
    ///
    /// # Errors
    /// [`Error::Filter`](crate::Error::Filter), one clear line.
    pub fn parse(text: &str) -> Result<Filter> {
        unimplemented!("{text}")
    }
}
