//! From clauses to sets of documents: tantivy answers the leaves, set algebra does the rest.
//!
//! tantivy could combine them too, but 0.27 seeks backwards in an excluded phrase and overflows in
//! an intersected range: its assertions fail in debug builds, and release builds go on unnoticed.
//! Leaves by themselves are read from one end to the other, which does neither; and a filter wants
//! all matches anyway.

use std::ops::Bound;

use roaring::RoaringBitmap;
use tantivy::Term;
use tantivy::query::{AllQuery, ExistsQuery, PhraseQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema};

use super::clause::{Clause, Value};
use crate::error::{Error, Result};
use crate::keyword::PromptFields;

/// Where a tree of clauses is answered; all of its clauses are of that level.
#[derive(Clone, Copy)]
pub(crate) enum Level<'a> {
    Prompts(PromptFields),
    Images(&'a Schema),
}

/// The documents, of all that there are, which fulfil `clause`; `find` answers single queries.
pub(super) fn evaluate(
    clause: &Clause,
    level: Level<'_>,
    documents: u32,
    find: &dyn Fn(&dyn Query) -> Result<RoaringBitmap>,
) -> Result<RoaringBitmap> {
    let all = || (0..documents).collect::<RoaringBitmap>();
    let Clause::Group {
        must,
        should,
        must_not,
    } = clause
    else {
        return match clause {
            Clause::All => Ok(all()),
            leaf => find(&*query(leaf, level)?),
        };
    };
    let set = |clause| evaluate(clause, level, documents, find);
    let mut matches = if must.is_empty() && !should.is_empty() {
        RoaringBitmap::new()
    } else {
        all()
    };
    for clause in should {
        matches |= set(clause)?;
    }
    for clause in must {
        matches &= set(clause)?;
    }
    for clause in must_not {
        matches -= set(clause)?;
    }
    Ok(matches)
}

/// The query of a leaf.
fn query(leaf: &Clause, level: Level<'_>) -> Result<Box<dyn Query>> {
    match (leaf, level) {
        (Clause::Words { words, slop }, Level::Prompts(fields)) => {
            Ok(words_query(words, *slop, fields.prompt))
        }
        (Clause::Known(name), Level::Images(_)) => {
            Ok(Box::new(ExistsQuery::new((*name).to_owned(), false)))
        }
        (Clause::Within(name, lower, upper), Level::Images(schema)) => {
            let field = schema.get_field(name).map_err(|_| misplaced())?;
            Ok(within(field, lower, upper))
        }
        _ => Err(misplaced()),
    }
}

/// The split by level has let a clause through to the wrong one.
fn misplaced() -> Error {
    Error::Filter {
        why: "it mixes prompt and image fields in a way that is not supported".into(),
    }
}

fn words_query(words: &[(usize, String)], slop: u32, field: Field) -> Box<dyn Query> {
    let term = |word: &str| Term::from_field_text(field, word);
    match words {
        [] => Box::new(AllQuery),
        [(_, word)] => Box::new(TermQuery::new(term(word), IndexRecordOption::Basic)),
        words => {
            let terms = words
                .iter()
                .map(|(position, word)| (*position, term(word)))
                .collect();
            Box::new(PhraseQuery::new_with_offset_and_slop(terms, slop))
        }
    }
}

fn within(field: Field, lower: &Bound<Value>, upper: &Bound<Value>) -> Box<dyn Query> {
    match (lower, upper) {
        (Bound::Included(Value::Word(low)), Bound::Included(Value::Word(high))) if low == high => {
            Box::new(TermQuery::new(
                Term::from_field_text(field, low),
                IndexRecordOption::Basic,
            ))
        }
        _ => {
            let term = |value: &Value| match value {
                Value::Word(word) => Term::from_field_text(field, word),
                Value::Whole(number) => Term::from_field_u64(field, *number),
                Value::Real(number) => Term::from_field_f64(field, *number),
                Value::Time(milliseconds) => Term::from_field_i64(field, *milliseconds),
            };
            Box::new(RangeQuery::new(
                lower.as_ref().map(term),
                upper.as_ref().map(term),
            ))
        }
    }
}
