//! Filters: which prompts may be answered, and with which of their images.
//!
//! A filter speaks about two things at once, prompts and images, which lie in two indexes. Its top-level
//! conjunction is therefore split: what speaks of the prompt runs on `prompts/`; what speaks of images runs, as one
//! conjunction, on `images/`, and selects the prompts that have *one image that fulfils all of it*; a prompt
//! without images counts as having one of which nothing is known. A disjunction over both has no such split, and is
//! refused.

mod clause;
mod query;

use roaring::RoaringBitmap;
use tantivy::query::Query;
use tantivy::query_grammar::{UserInputAst, parse_query, parse_query_lenient};

use self::clause::{Clause, known_fields};
pub(crate) use self::query::Level;
use self::query::evaluate;
use crate::error::{Error, Result, one_line};

/// Bytes and nested brackets that a filter may have: the grammar is recursive, and its time grows
/// steeply with nesting.
const MAX_BYTES: usize = 4096;
const MAX_DEPTH: usize = 8;

/// Which prompts and images may be answered; see [`Filter::parse`].
#[derive(Clone, Debug)]
pub struct Filter {
    prompts: Option<Clause>,
    images: Option<Clause>,
}

impl Filter {
    /// Reads a filter in the query syntax of tantivy, over the fields `prompt`, `image_name`,
    /// `part_id`, `seed`, `step`, `cfg`, `sampler`, `width`, `height`, `image_nsfw`, `prompt_nsfw`,
    /// `timestamp`, `model`, `generator`, `file_size` and `predicted`.
    ///
    /// - `prompt:fox`, or `fox` alone: the prompt has the word; `prompt:"red fox"`: the phrase.
    /// - `sampler:k_lms`, `cfg:7.5`, `seed: IN [1 2 3]`: the image has the value. Capitals do not matter in
    ///   `sampler`, `model` and `generator`.
    /// - `model:dreamshaper*`, `image_name:"*/my pictures/*"`: an asterisk stands for anything. Quotation marks keep
    ///   spaces and slashes together.
    /// - `timestamp:2022-08-20`: on that day, UTC.
    /// - `cfg:[7 TO 12]`, `step:>=50`, `timestamp:{2022-08-01 TO *}`: it lies in the range.
    /// - `seed:*`: the value is known.
    /// - `AND`, `OR`, `NOT`, `-`, `+` and round brackets; without an operator, all must hold.
    ///
    /// A prompt is selected if it fulfils what is said of prompts and has an image that fulfils
    /// all that is said of images, negations included: `sampler:k_lms AND -cfg:7` wants one image
    /// that is both. A prompt without images counts as having one of which nothing is known, so that `-cfg:7` selects
    /// it. The empty filter selects everything.
    ///
    /// # Errors
    /// [`Error::Filter`], one line: the syntax, a field that does not exist, a value of the wrong
    /// type, or one `OR` over prompt and image fields.
    ///
    /// ```
    /// use unprompt_index::Filter;
    ///
    /// assert!(Filter::parse("cfg:[7 TO 12] AND sampler:k_lms AND -prompt:anime").is_ok());
    /// assert!(Filter::parse("colour:red").unwrap_err().to_string().contains("fields are prompt"));
    /// ```
    pub fn parse(text: &str) -> Result<Filter> {
        Filter::read(text).map_err(|error| match error {
            Error::Filter { why } => Error::Filter {
                why: one_line(&why),
            },
            other => other,
        })
    }

    fn read(text: &str) -> Result<Filter> {
        let ast = ast(text)?;
        let mut parts = Parts::default();
        parts.place(Clause::from_ast(&ast)?, false)?;
        Ok(Filter {
            prompts: parts.prompts.into_clause(),
            images: parts.images.into_clause(),
        })
    }

    /// Whether it says anything of images.
    pub(crate) fn speaks_of_images(&self) -> bool {
        self.images.is_some()
    }

    /// Whether an image of which nothing is known fulfils what is said of images.
    pub(crate) fn takes_unknown_image(&self, level: Level<'_>) -> Result<bool> {
        let nothing = |_: &dyn Query| Ok(RoaringBitmap::new());
        let fulfils = self.matches(level, 1, &nothing)?;
        Ok(fulfils.is_none_or(|it| it.contains(0)))
    }

    /// The documents at `level`, of all that there are, which fulfil what the filter says of that
    /// level; none if it says nothing. `find` answers single queries.
    pub(crate) fn matches(
        &self,
        level: Level<'_>,
        documents: u32,
        find: &dyn Fn(&dyn Query) -> Result<RoaringBitmap>,
    ) -> Result<Option<RoaringBitmap>> {
        let clause = match level {
            Level::Prompts(_) => &self.prompts,
            Level::Images(_) => &self.images,
        };
        clause
            .as_ref()
            .map(|clause| evaluate(clause, level, documents, find))
            .transpose()
    }
}

fn ast(text: &str) -> Result<UserInputAst> {
    let refuse = |why: String| Err(Error::Filter { why });
    if text.len() > MAX_BYTES {
        return refuse(format!(
            "{} bytes are too long, {MAX_BYTES} at most",
            text.len()
        ));
    }
    let mut depth = 0usize;
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return refuse(format!("brackets are nested deeper than {MAX_DEPTH}"));
        }
    }
    if let Ok(ast) = parse_query(text) {
        return Ok(ast);
    }
    let (_, errors) = parse_query_lenient(text);
    let place = match errors.first() {
        Some(error) => format!(" at byte {}: {}", error.pos.min(text.len()), error.message),
        None => String::new(),
    };
    refuse(format!(
        "syntax error{place}; write e.g. cfg:[7 TO 12] AND -prompt:anime; fields are {}",
        known_fields()
    ))
}

/// The two halves of a top-level conjunction.
#[derive(Default)]
struct Parts {
    prompts: Half,
    images: Half,
}

#[derive(Default)]
struct Half {
    must: Vec<Clause>,
    must_not: Vec<Clause>,
}

impl Half {
    fn into_clause(self) -> Option<Clause> {
        let Half { must, must_not } = self;
        let empty = must.is_empty() && must_not.is_empty();
        (!empty).then_some(Clause::Group {
            must,
            should: Vec::new(),
            must_not,
        })
    }

    fn push(&mut self, clause: Clause, negated: bool) {
        let list = if negated {
            &mut self.must_not
        } else {
            &mut self.must
        };
        list.push(clause);
    }
}

impl Parts {
    /// Puts `clause`, or its negation, with the level it speaks of; a conjunction over both is
    /// taken apart.
    fn place(&mut self, clause: Clause, negated: bool) -> Result<()> {
        match (speaks_of(&clause), clause, negated) {
            ((false, false), Clause::All, false) => Ok(()),
            ((_, false), clause, _) => {
                self.prompts.push(clause, negated);
                Ok(())
            }
            ((false, true), clause, _) => {
                self.images.push(clause, negated);
                Ok(())
            }
            (
                _,
                Clause::Group {
                    must,
                    should,
                    must_not,
                },
                false,
            ) if should.is_empty() => {
                must.into_iter()
                    .try_for_each(|clause| self.place(clause, false))?;
                must_not
                    .into_iter()
                    .try_for_each(|clause| self.place(clause, true))
            }
            // Not (a or b) is (not a) and (not b).
            (
                _,
                Clause::Group {
                    must,
                    should,
                    must_not,
                },
                true,
            ) if must.is_empty() && must_not.is_empty() => should
                .into_iter()
                .try_for_each(|clause| self.place(clause, true)),
            // Not not a is a.
            (
                _,
                Clause::Group {
                    must,
                    should,
                    mut must_not,
                },
                true,
            ) if must.is_empty() && should.is_empty() && must_not.len() == 1 => {
                self.place(must_not.remove(0), false)
            }
            _ => Err(Error::Filter {
                why: "one OR (or one negated AND) joins prompt and image fields; search once for \
                      each side, or join them with AND"
                    .into(),
            }),
        }
    }
}

/// Whether a clause speaks of prompts, and whether it speaks of images.
fn speaks_of(clause: &Clause) -> (bool, bool) {
    match clause {
        Clause::All => (false, false),
        Clause::Words { .. } => (true, false),
        Clause::Known(_) | Clause::Like(..) | Clause::Within(..) => (false, true),
        Clause::Group {
            must,
            should,
            must_not,
        } => {
            let all = must.iter().chain(should).chain(must_not).map(speaks_of);
            all.fold((false, false), |(a, b), (c, d)| (a || c, b || d))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn halves(text: &str) -> (bool, bool) {
        let filter = Filter::parse(text).unwrap();
        (filter.prompts.is_some(), filter.images.is_some())
    }

    fn refusal(text: &str) -> String {
        let message = Filter::parse(text).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    }

    #[test]
    fn clauses_go_where_their_fields_are() {
        assert_eq!(halves(""), (false, false));
        assert_eq!(halves("*"), (false, false));
        assert_eq!(halves("fox"), (true, false));
        assert_eq!(halves("-cfg:7"), (false, true));
        assert_eq!(
            halves("cfg:[7 TO 12] AND sampler:k_lms AND -prompt:anime"),
            (true, true)
        );
        assert_eq!(halves("fox cfg:7"), (true, true));
        assert_eq!(halves("-(fox OR cfg:7)"), (true, true));
        assert_eq!(halves("NOT (NOT (fox AND cfg:7))"), (true, true));
        assert_eq!(halves("(fox OR owl) AND (cfg:7 OR cfg:8)"), (true, true));
        assert_eq!(
            halves("timestamp:[2022-08-01 TO 2022-09-01T12:30:00Z]"),
            (false, true)
        );
        assert_eq!(halves("sampler: IN [k_lms ddim] seed:*"), (false, true));
    }

    #[test]
    fn or_over_both_levels_is_refused() {
        for text in ["fox OR cfg:7", "owl AND (fox OR cfg:7)", "-(fox AND cfg:7)"] {
            assert!(
                refusal(text).contains("joins prompt and image fields"),
                "{text}"
            );
        }
    }

    #[test]
    fn refusals_say_what_would_be_right() {
        assert!(refusal("colour:red").contains("no field `colour`; fields are prompt, image_name"));
        assert!(refusal("cfg:[7 TO").contains("fields are prompt"));
        assert!(refusal("cfg:[7 TO").contains("syntax error"));
        assert!(refusal("seed:-3").contains("`seed` takes whole numbers"));
        assert!(refusal("fox or cfg:7").contains("in capitals: OR"));
        assert!(refusal("cfg=7").contains("cfg:7"));
        assert!(refusal("prompt:fo*").contains("whole words"));
        assert!(refusal("seed:1*").contains("seed:[20 TO 30]"));
        assert!(refusal("model:*a*b*c*d*").contains("more than 4 asterisks"));
        assert!(refusal("steps>20").contains("steps:>=20"));
        assert!(refusal("model:[B TO a]").contains("ends before it begins"));
        assert!(refusal("image_name:[a TO B]").contains("ends before it begins"));
        assert!(Filter::parse("model:[a TO B] image_name:[B TO a] model:\"a*b\"").is_ok());
        assert!(Filter::parse("sampler:k_* image_name:\"/a b/\"*").is_ok());
        assert!(refusal("cfg:[12 TO 7]").contains("ends before it begins"));
        assert!(Filter::parse("\"or\" steps:20 timestamp:2022-08-20 1=2").is_ok());
        assert!(refusal("cfg:much").contains("`cfg` takes numbers, not `much`"));
        assert!(refusal("timestamp:yesterday").contains("2022-08-20"));
        assert!(refusal("prompt:[a TO b]").contains("no range"));
        assert!(refusal("prompt:\"!\"").contains("no word"));
        assert!(refusal("prompt:/a.*/").contains("regular expressions"));
        assert!(refusal("\"red fo\"*").contains("whole words"));
        assert!(refusal("c\n\u{1}g:1").contains("no field `c  g`"));
        assert!(refusal("cfg:\"a\nb\"").contains("not `a b`"));
        assert!(refusal(&"(".repeat(5000)).contains("too long"));
        assert!(refusal(&"(".repeat(50)).contains("nested"));
    }

    #[test]
    fn no_text_takes_long_or_overflows_the_stack() {
        let nested = format!("{}fox{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
        let open = format!("{}fox", "(".repeat(MAX_DEPTH));
        let mut texts = vec![nested.clone(), open, format!("{nested} OR ").repeat(40)];
        for piece in [
            "-", "+", "NOT ", "a AND ", "a OR ", "\"", "[", "{", "/", "a:", "\\", "^", "~", "* ",
            "IN [", "\u{e9} ", ">",
        ] {
            texts.push(piece.repeat(MAX_BYTES / piece.len()));
            texts.push(format!("{}fox", piece.repeat(200)));
        }
        for text in &texts {
            let start = Instant::now();
            let _ = Filter::parse(text);
            assert!(start.elapsed() < Duration::from_secs(5), "{text:.40}");
        }
        assert!(Filter::parse(&nested).is_ok());
    }
}
