//! A filter as a tree whose every field is known and whose every value has the field's type.

use std::ops::Bound;

use tantivy::query_grammar::{
    Delimiter, Occur, UserInputAst, UserInputBound, UserInputLeaf, UserInputLiteral,
};
use tantivy::time::OffsetDateTime;
use tantivy::time::format_description::well_known::Rfc3339;

use crate::error::{Error, Result};
use crate::images::{COLUMNS, Kind};
use crate::keyword::{folded, words};

/// Each makes what strings are compared with larger.
const MAX_ASTERISKS: usize = 4;

/// One node of a filter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Clause {
    /// Everything.
    All,
    /// The prompt has these words, by position, up to `slop` moves apart.
    Words {
        words: Vec<(usize, String)>,
        slop: u32,
    },
    /// A column of the image has a value at all.
    Known(&'static str),
    /// A column of strings has these pieces in this order, with anything between them: the first at its beginning,
    /// the last at its end.
    Like(&'static str, Vec<String>),
    /// A column of the image is within bounds.
    Within(&'static str, Bound<Value>, Bound<Value>),
    /// All of `must`, none of `must_not`, and one of `should` unless there are none.
    Group {
        must: Vec<Clause>,
        should: Vec<Clause>,
        must_not: Vec<Clause>,
    },
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Word(String),
    Whole(u64),
    Real(f64),
    Time(i64),
}

/// What the grammar calls a field.
enum Field {
    Prompt,
    Column(&'static str, Kind),
}

fn refuse(why: impl Into<String>) -> Error {
    Error::Filter { why: why.into() }
}

/// The names of all fields, for messages.
pub(crate) fn known_fields() -> String {
    let columns: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("prompt, {}", columns.join(", "))
}

impl Field {
    /// A bare word is looked for in the prompt.
    fn named(name: Option<&str>) -> Result<Field> {
        let Some(name) = name.filter(|&name| name != "prompt") else {
            return Ok(Field::Prompt);
        };
        // As many tools call it.
        let name = if name == "steps" { "step" } else { name };
        let column = COLUMNS.iter().find(|(column, _)| *column == name);
        let (name, kind) = column.ok_or_else(|| {
            refuse(format!(
                "there is no field `{name}`; fields are {}",
                known_fields()
            ))
        })?;
        Ok(Field::Column(name, *kind))
    }
}

impl Clause {
    /// Gives the tree of the grammar its fields and types. Clauses without an operator between
    /// them must all hold.
    pub(crate) fn from_ast(ast: &UserInputAst) -> Result<Clause> {
        match ast {
            // A filter has no scores to boost.
            UserInputAst::Boost(inner, _) => Clause::from_ast(inner),
            UserInputAst::Leaf(leaf) => Clause::from_leaf(leaf),
            UserInputAst::Clause(parts) if parts.is_empty() => Ok(Clause::All),
            UserInputAst::Clause(parts) => {
                let (mut must, mut should, mut must_not) = (vec![], vec![], vec![]);
                for (occur, part) in parts {
                    let list = match occur.unwrap_or(Occur::Must) {
                        Occur::Must => &mut must,
                        Occur::Should => &mut should,
                        Occur::MustNot => &mut must_not,
                    };
                    list.push(Clause::from_ast(part)?);
                }
                Ok(Clause::group(must, should, must_not))
            }
        }
    }

    fn group(mut must: Vec<Clause>, should: Vec<Clause>, must_not: Vec<Clause>) -> Clause {
        // Beside clauses that must hold, those that may hold decide nothing.
        let mut should = if must.is_empty() { should } else { Vec::new() };
        match (must.len(), should.len(), must_not.len()) {
            (1, 0, 0) => must.remove(0),
            (0, 1, 0) => should.remove(0),
            _ => Clause::Group {
                must,
                should,
                must_not,
            },
        }
    }

    fn from_leaf(leaf: &UserInputLeaf) -> Result<Clause> {
        match leaf {
            UserInputLeaf::All => Ok(Clause::All),
            UserInputLeaf::Literal(literal) => Clause::from_literal(literal),
            UserInputLeaf::Exists { field } => match Field::named(Some(field))? {
                Field::Prompt => Ok(Clause::All),
                Field::Column(name, _) => Ok(Clause::Known(name)),
            },
            UserInputLeaf::Set { field, elements } => {
                let field = Field::named(field.as_deref())?;
                let each = elements
                    .iter()
                    .map(|element| Clause::equal(&field, element, true, 0));
                let should = each.collect::<Result<Vec<_>>>()?;
                if should.is_empty() {
                    return Err(refuse(
                        "`IN []` names nothing; put values between the brackets",
                    ));
                }
                Ok(Clause::group(vec![], should, vec![]))
            }
            UserInputLeaf::Range {
                field,
                lower,
                upper,
            } => {
                let Field::Column(name, kind) = Field::named(field.as_deref())? else {
                    return Err(refuse(
                        "the prompt has words, no range; ranges go with the fields of images",
                    ));
                };
                let (lower, upper) = (bound(name, kind, lower)?, bound(name, kind, upper)?);
                if reversed(kind, &lower, &upper) {
                    return Err(refuse(format!(
                        "the range of `{name}` ends before it begins; write the lower value first"
                    )));
                }
                Ok(match (&lower, &upper) {
                    (Bound::Unbounded, Bound::Unbounded) => Clause::Known(name),
                    _ => Clause::Within(name, lower, upper),
                })
            }
            UserInputLeaf::Regex { .. } => Err(refuse(
                "regular expressions are not supported; use words, values or ranges",
            )),
        }
    }

    fn from_literal(literal: &UserInputLiteral) -> Result<Clause> {
        let field = Field::named(literal.field_name.as_deref())?;
        let quoted = literal.delimiter != Delimiter::None;
        // The grammar takes an asterisk behind a phrase for itself.
        let phrase = match literal.prefix {
            true => format!("{}*", literal.phrase),
            false => literal.phrase.clone(),
        };
        if phrase.contains('*') && phrase.len() > 1 {
            return like(&field, &phrase);
        }
        if !quoted {
            refuse_slips(literal.field_name.as_deref(), &literal.phrase)?;
        }
        Clause::equal(&field, &literal.phrase, quoted, literal.slop)
    }

    fn equal(field: &Field, text: &str, quoted: bool, slop: u32) -> Result<Clause> {
        match *field {
            Field::Column(name, _) if text == "*" && !quoted => Ok(Clause::Known(name)),
            Field::Prompt if text == "*" && !quoted => Ok(Clause::All),
            Field::Column(name, Kind::Time) if let Some(day) = day(text) => Ok(Clause::Within(
                name,
                Bound::Included(Value::Time(day)),
                Bound::Excluded(Value::Time(day.saturating_add(DAY_MS))),
            )),
            Field::Column(name, kind) => {
                let value = Value::parse(name, kind, text)?;
                Ok(Clause::Within(
                    name,
                    Bound::Included(value.clone()),
                    Bound::Included(value),
                ))
            }
            Field::Prompt => {
                let words = words(text);
                if words.is_empty() {
                    return Err(refuse(format!(
                        "`{text}` has no word to look for in prompts"
                    )));
                }
                Ok(Clause::Words { words, slop })
            }
        }
    }
}

/// A text with asterisks, each of which stands for anything.
fn like(field: &Field, text: &str) -> Result<Clause> {
    match *field {
        Field::Column(name, Kind::Word | Kind::Name) => {
            let pieces: Vec<String> = text.split('*').map(str::to_owned).collect();
            if pieces.len() > MAX_ASTERISKS + 1 {
                return Err(refuse(format!(
                    "`{text}` has more than {MAX_ASTERISKS} asterisks"
                )));
            }
            Ok(Clause::Like(name, pieces))
        }
        Field::Column(name, _) => Err(refuse(format!(
            "`{text}`: `{name}` is a number; write a range, as in {name}:[20 TO 30]"
        ))),
        Field::Prompt => Err(refuse(format!(
            "`{text}`: parts of words are not supported in prompts; use whole words"
        ))),
    }
}

/// What would match nothing, or something else than was meant: operators in small letters, which are
/// words of prompts, and signs of comparison.
fn refuse_slips(field: Option<&str>, text: &str) -> Result<()> {
    if field.is_none() && ["and", "or", "not"].contains(&text) {
        return Err(refuse(format!(
            "operators are written in capitals: {}; to look for the word, quote it: \"{text}\"",
            text.to_uppercase()
        )));
    }
    if let (None, Some((name, value))) = (field, text.split_once(['=', '<', '>']))
        && Field::named(Some(name)).is_ok()
    {
        return Err(refuse(format!(
            "`{text}`: values stand behind a colon, as in {name}:{value} or {name}:>={value}"
        )));
    }
    Ok(())
}

/// Whether no value is within the bounds, because they stand the wrong way round.
fn reversed(kind: Kind, lower: &Bound<Value>, upper: &Bound<Value>) -> bool {
    let value = |bound| match bound {
        &Bound::Included(ref value) | &Bound::Excluded(ref value) => Some(value),
        Bound::Unbounded => None,
    };
    match (value(lower), value(upper)) {
        (Some(Value::Word(low)), Some(Value::Word(high))) if kind == Kind::Name => {
            folded(low) > folded(high)
        }
        (Some(Value::Word(low)), Some(Value::Word(high))) => low > high,
        (Some(Value::Whole(low)), Some(Value::Whole(high))) => low > high,
        (Some(Value::Real(low)), Some(Value::Real(high))) => low > high,
        (Some(Value::Time(low)), Some(Value::Time(high))) => low > high,
        _ => false,
    }
}

fn bound(name: &'static str, kind: Kind, bound: &UserInputBound) -> Result<Bound<Value>> {
    Ok(match bound {
        UserInputBound::Inclusive(text) => Bound::Included(Value::parse(name, kind, text)?),
        UserInputBound::Exclusive(text) => Bound::Excluded(Value::parse(name, kind, text)?),
        UserInputBound::Unbounded => Bound::Unbounded,
    })
}

impl Value {
    fn parse(name: &str, kind: Kind, text: &str) -> Result<Value> {
        let (value, takes) = match kind {
            Kind::Word | Kind::Name => (Some(Value::Word(text.to_owned())), "text"),
            Kind::Whole => (text.parse().ok().map(Value::Whole), "whole numbers from 0"),
            // Through f32, since that is how such values came in: 7.1 must equal 7.1.
            Kind::Real => {
                let number = text.parse::<f32>().ok().filter(|number| !number.is_nan());
                (number.map(|number| Value::Real(number.into())), "numbers")
            }
            Kind::Time => (
                milliseconds(text).map(Value::Time),
                "times like 2022-08-20 or 2022-08-20T12:00:00Z, or milliseconds since 1970",
            ),
        };
        value.ok_or_else(|| refuse(format!("`{name}` takes {takes}, not `{text}`")))
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The beginning of a day that is named without a time.
fn day(text: &str) -> Option<i64> {
    let digits = |c: char| c.is_ascii_digit() || c == '-';
    (text.len() == "2022-08-20".len() && text.contains('-') && text.chars().all(digits))
        .then(|| milliseconds(text))
        .flatten()
}

fn milliseconds(text: &str) -> Option<i64> {
    if let Ok(milliseconds) = text.parse() {
        return Some(milliseconds);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339));
    i64::try_from(time.ok()?.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}
