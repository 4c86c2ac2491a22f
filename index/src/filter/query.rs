//! From clauses to queries of tantivy.

use std::ops::Bound;

use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, ExistsQuery, Occur, PhraseQuery, Query, RangeQuery, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption, Schema};

use super::clause::{Clause, Value};
use crate::error::{Error, Result};
use crate::keyword::PromptFields;

/// Where a tree of clauses is answered; all of its clauses are of that level.
#[derive(Clone, Copy)]
pub(super) enum Level<'a> {
    Prompts(PromptFields),
    Images(&'a Schema),
}

/// The query that matches what `clause` does.
pub(super) fn compile(clause: &Clause, level: Level<'_>) -> Result<Box<dyn Query>> {
    Ok(match (clause, level) {
        (Clause::All, _) => Box::new(AllQuery),
        (Clause::Words { words, slop }, Level::Prompts(fields)) => {
            words_query(words, *slop, fields.prompt)
        }
        (Clause::Known(name), Level::Images(_)) => {
            Box::new(ExistsQuery::new((*name).to_owned(), false))
        }
        (Clause::Within(name, lower, upper), Level::Images(schema)) => {
            let field = schema.get_field(name).map_err(|_| misplaced())?;
            within(field, lower, upper)
        }
        (
            Clause::Group {
                must,
                should,
                must_not,
            },
            _,
        ) => {
            let mut parts: Vec<(Occur, Box<dyn Query>)> = Vec::new();
            for (occur, clauses) in [
                (Occur::Must, must),
                (Occur::Should, should),
                (Occur::MustNot, must_not),
            ] {
                for clause in clauses {
                    parts.push((occur, compile(clause, level)?));
                }
            }
            // What must not hold takes away from something.
            if must.is_empty() && should.is_empty() {
                parts.push((Occur::Must, Box::new(AllQuery)));
            }
            Box::new(BooleanQuery::new(parts))
        }
        _ => return Err(misplaced()),
    })
}

/// The split by level has let a clause through to the wrong one.
fn misplaced() -> Error {
    Error::Filter {
        why: "it mixes prompt and image fields in a way that is not supported".into(),
    }
}

fn words_query(words: &[(usize, String)], slop: u32, field: Field) -> Box<dyn Query> {
    let mut terms: Vec<(usize, Term)> = words
        .iter()
        .map(|(position, word)| (*position, Term::from_field_text(field, word)))
        .collect();
    match terms.pop() {
        Some((_, term)) if terms.is_empty() => {
            Box::new(TermQuery::new(term, IndexRecordOption::Basic))
        }
        Some(last) => {
            terms.push(last);
            Box::new(PhraseQuery::new_with_offset_and_slop(terms, slop))
        }
        None => Box::new(AllQuery),
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
