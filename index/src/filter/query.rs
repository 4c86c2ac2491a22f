//! From clauses to sets of documents: tantivy answers the leaves, set algebra does the rest.
//!
//! tantivy could combine them too, but 0.27 seeks backwards in an excluded phrase and overflows in
//! an intersected range: its assertions fail in debug builds, and release builds go on unnoticed.
//! Leaves by themselves are read from one end to the other, which does neither; and a filter wants
//! all matches anyway.

use std::ops::Bound;

use roaring::RoaringBitmap;
use tantivy::Term;
use tantivy::query::{
    AllQuery, EmptyQuery, ExistsQuery, InvertedIndexRangeQuery, PhraseQuery, Query, RangeQuery,
    RegexQuery, TermQuery,
};
use tantivy::schema::{Field, FieldType, IndexRecordOption, Schema};

use super::clause::{Clause, Value};
use crate::error::{Error, Result};
use crate::keyword::{NAME, PromptFields, folded};

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
        (Clause::Known(name), Level::Images(schema)) => Ok(match column(schema, name) {
            Some(_) => Box::new(ExistsQuery::new((*name).to_owned(), false)),
            None => Box::new(EmptyQuery),
        }),
        (Clause::Like(name, pieces), Level::Images(schema)) => match column(schema, name) {
            Some((field, folds)) => like(field, folds, pieces),
            None => Ok(Box::new(EmptyQuery)),
        },
        (Clause::Within(name, lower, upper), Level::Images(schema)) => {
            Ok(match column(schema, name) {
                Some((field, folds)) => within(field, folds, lower, upper),
                None => Box::new(EmptyQuery),
            })
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

/// A column, and whether capitals do not matter in it; none where an older version did not have it.
fn column(schema: &Schema, name: &str) -> Option<(Field, bool)> {
    let field = schema.get_field(name).ok()?;
    let folds = match schema.get_field_entry(field).field_type() {
        FieldType::Str(text) => text
            .get_indexing_options()
            .is_some_and(|terms| terms.tokenizer() == NAME),
        _ => false,
    };
    Some((field, folds))
}

/// Terms that have all pieces, with anything between them.
fn like(field: Field, folds: bool, pieces: &[String]) -> Result<Box<dyn Query>> {
    let escaped = |piece: &String| {
        let piece = if folds { folded(piece) } else { piece.clone() };
        let mut escaped = String::with_capacity(piece.len());
        for c in piece.chars() {
            // Letters and digits may not be escaped, and all else may.
            if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    };
    let pattern = pieces
        .iter()
        .map(escaped)
        .collect::<Vec<_>>()
        .join("(?s:.)*");
    match RegexQuery::from_pattern(&pattern, field) {
        Ok(query) => Ok(Box::new(query)),
        Err(error) => Err(Error::Filter {
            why: format!("`{}` is too much: {error}", pieces.join("*")),
        }),
    }
}

fn within(field: Field, folds: bool, lower: &Bound<Value>, upper: &Bound<Value>) -> Box<dyn Query> {
    let term = |value: &Value| match value {
        Value::Word(word) if folds => Term::from_field_text(field, &folded(word)),
        Value::Word(word) => Term::from_field_text(field, word),
        Value::Whole(number) => Term::from_field_u64(field, *number),
        Value::Real(number) => Term::from_field_f64(field, *number),
        Value::Time(milliseconds) => Term::from_field_i64(field, *milliseconds),
    };
    let is_word = |bound: &Bound<Value>| {
        matches!(
            bound,
            Bound::Included(Value::Word(_)) | Bound::Excluded(Value::Word(_))
        )
    };
    match (lower, upper) {
        (Bound::Included(low @ Value::Word(_)), Bound::Included(high)) if low == high => {
            Box::new(TermQuery::new(term(low), IndexRecordOption::Basic))
        }
        // The columns of strings keep capitals; their terms do not, where capitals do not matter.
        _ if is_word(lower) || is_word(upper) => Box::new(InvertedIndexRangeQuery::new(
            lower.as_ref().map(term),
            upper.as_ref().map(term),
        )),
        _ => Box::new(RangeQuery::new(
            lower.as_ref().map(term),
            upper.as_ref().map(term),
        )),
    }
}
