//! All rows of a `vectors` file with their codes, and how near they are to a query.

use std::borrow::Cow;
use std::path::Path;

use super::Candidate;
use super::code::{self, Codes};
use super::element::Values;
use crate::error::{Error, Result};

/// All rows of a `vectors` file, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(super) values: Values<'a>,
    /// None where rows are short, or in an old file.
    pub(super) codes: Option<Codes<'a>>,
    pub(super) dim: usize,
    pub(super) path: &'a Path,
}

/// What rows are compared with: a vector's code where they have codes, or else the vector.
pub(crate) enum Query<'a> {
    Code(code::Query),
    Vector(Cow<'a, [f32]>),
}

/// How near some rows are to a query, and what it takes to find out, kept from one time to the next.
#[derive(Debug, Default)]
pub(crate) struct Estimates {
    dots: Vec<i32>,
    pub(crate) scores: Vec<f32>,
}

/// How many steps of the query's code a candidate may seem to be behind another and be before it all
/// the same. Numbers of a code are off by 0.29 steps in the mean square, so that the difference of
/// two estimates is off by about half a step where all steps are alike: eight times as much as that
/// is not exceeded in practice.
const ERRORS: f32 = 4.0;

impl<'a> Rows<'a> {
    /// Rows that are never given back.
    #[cfg(test)]
    pub(crate) fn of(values: &[f32], dim: usize) -> Rows<'static> {
        use super::element::Element;
        use super::flat::{Vectors, file};
        let file: &'static [u8] = file(values, dim, Element::default()).leak();
        let vectors = Vectors::new(file, Path::new("memory")).unwrap();
        Box::leak(Box::new(vectors)).rows()
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    #[inline]
    fn values(&self, row: u32) -> Result<Values<'a>> {
        let start = row as usize * self.dim;
        let row = self.values.get(start..start + self.dim);
        row.ok_or_else(|| self.absent())
    }

    pub(crate) fn get(&self, row: u32) -> Result<Cow<'a, [f32]>> {
        self.values(row).map(Values::to_f32)
    }

    /// Asks for a row's cache lines, which will be read soon.
    #[inline]
    pub(crate) fn prefetch(&self, row: u32) -> Result<()> {
        self.values(row).map(Values::prefetch)
    }

    /// The cosine of a row to `query`; damage that makes it no number is an error.
    #[inline]
    pub(crate) fn score(&self, row: u32, query: &[f32]) -> Result<Candidate> {
        self.candidate(row, self.values(row)?.dot(query))
    }

    /// What rows are compared with to find those that are near `vector`.
    pub(crate) fn query<'q>(&self, vector: &'q [f32]) -> Query<'q> {
        match self.codes {
            Some(codes) => Query::Code(codes.coder().query(vector)),
            None => Query::Vector(Cow::Borrowed(vector)),
        }
    }

    /// What rows are compared with to find those that are near a row.
    pub(crate) fn query_of(&self, row: u32) -> Result<Query<'a>> {
        match self.codes {
            Some(codes) => codes
                .query(row)
                .map(Query::Code)
                .ok_or_else(|| self.absent()),
            None => self.get(row).map(Query::Vector),
        }
    }

    /// A row with its cosine to the query, nearly: near enough to walk by.
    #[inline]
    pub(crate) fn estimate(&self, row: u32, query: &Query<'_>) -> Result<Candidate> {
        match (self.codes, query) {
            (Some(codes), Query::Code(query)) => {
                let score = codes.estimate(row, query).ok_or_else(|| self.absent())?;
                self.candidate(row, score)
            }
            (_, Query::Vector(query)) => self.score(row, query),
            (None, Query::Code(_)) => Err(self.absent()),
        }
    }

    /// As [`Rows::estimate`], of some rows at once.
    pub(crate) fn estimates(
        &self,
        rows: &[u32],
        query: &Query<'_>,
        found: &mut Estimates,
    ) -> Result<()> {
        let Estimates { dots, scores } = found;
        match (self.codes, query) {
            (Some(codes), Query::Code(query)) => codes
                .estimates(rows, query, dots, scores)
                .ok_or_else(|| self.absent())?,
            _ => {
                scores.clear();
                for &row in rows {
                    scores.push(self.estimate(row, query)?.score);
                }
            }
        }
        match scores.iter().position(|score| !score.is_finite()) {
            Some(place) => Err(self.damaged(rows[place])),
            None => Ok(()),
        }
    }

    /// Makes the scores of candidates, which are estimates, as good as codes allow.
    pub(crate) fn refine(&self, candidates: &mut [Candidate], query: &Query<'_>) -> Result<()> {
        let (Some(codes), Query::Code(query)) = (self.codes, query) else {
            return Ok(());
        };
        let rows: Vec<u32> = candidates.iter().map(|candidate| candidate.row).collect();
        let scores = codes.refined(&rows, query).ok_or_else(|| self.absent())?;
        for (candidate, score) in candidates.iter_mut().zip(scores) {
            *candidate = self.candidate(candidate.row, score)?;
        }
        Ok(())
    }

    /// How much worse a refined score may seem than another, and the row be nearer all the same.
    pub(crate) fn margin(&self, query: &Query<'_>) -> f32 {
        match query {
            Query::Code(query) => ERRORS * query.step(),
            Query::Vector(_) => 0.0,
        }
    }

    #[inline]
    fn candidate(&self, row: u32, score: f32) -> Result<Candidate> {
        if score.is_finite() {
            return Ok(Candidate { score, row });
        }
        Err(self.damaged(row))
    }

    #[cold]
    fn damaged(&self, row: u32) -> Error {
        let why = format!("row {row} is not a unit vector, or its code is damaged");
        Error::corrupt(self.path, "rows", why)
    }

    #[cold]
    fn absent(&self) -> Error {
        Error::corrupt(self.path, "rows", "there is no such row".to_owned())
    }
}
