//! The prompts of several segments as one corpus.
//!
//! Document counts, document frequencies and lengths are those of all prompts that are not
//! deleted, and the scores of a prompt's words are added in the order of the words. So a score
//! depends to the last bit on the prompts alone, not on how they are spread over segments, nor on
//! what was deleted before; a query parser's union of terms would promise neither.

use roaring::RoaringBitmap;
use tantivy::Term;
use tantivy::directory::OwnedBytes;
use tantivy::schema::IndexRecordOption;

use super::bm25::{self, Factors};
use super::postings::Postings;
use super::union::{self, Union};
use super::{KeywordQuery, Prompts};
use crate::best::{Best, Found};
use crate::error::{Error, Result};
use crate::id::{EntryId, PromptId};

/// One segment's prompts.
pub(crate) struct Part<'a> {
    /// Its place among the segments.
    pub(crate) segment: u32,
    pub(crate) prompts: &'a Prompts,
    /// Rows in all.
    pub(crate) rows: usize,
    /// Rows that are deleted, and how many words they have.
    pub(crate) deleted: Option<(&'a RoaringBitmap, u64)>,
    /// Rows that may be answered; all, if absent.
    pub(crate) accept: Option<&'a RoaringBitmap>,
    /// The id of a row.
    pub(crate) id: Box<dyn Fn(u32) -> Result<PromptId> + 'a>,
}

/// The prompts of all segments.
pub(crate) struct Corpus<'a> {
    pub(crate) parts: Vec<Part<'a>>,
}

/// A word of a query with its weight.
struct Word {
    term: Term,
    weight: f32,
}

impl Corpus<'_> {
    /// The `k` best prompts, best first.
    pub(crate) fn best(&self, query: &KeywordQuery, k: usize) -> Result<Vec<Found>> {
        let (mut live, mut tokens) = (0, 0);
        for part in &self.parts {
            live += part.live()?;
            tokens = u64::checked_add(tokens, part.tokens()?)
                .ok_or_else(|| part.corrupt("more words than can be counted".into()))?;
        }
        let words = self.words(query, live)?;
        let mut best = Best::new(k);
        if let (Some(part), true, 0) = (self.parts.first(), !words.is_empty(), tokens) {
            return Err(part.corrupt("prompts with a word, but none with any".into()));
        }
        if !words.is_empty() && k > 0 {
            let factors = Factors::new(tokens as f32 / live as f32);
            for part in &self.parts {
                part.score(&words, &factors, &mut best)?;
            }
        }
        Ok(best.into_sorted())
    }

    /// The words of the query that any of the `live` prompts has, in their order.
    fn words(&self, query: &KeywordQuery, live: u64) -> Result<Vec<Word>> {
        let mut words = Vec::new();
        for (text, boost) in query.weights() {
            let mut frequency = 0;
            for part in &self.parts {
                frequency += part.frequency(&part.term(&text))?;
            }
            if let (Some(part), 1..) = (self.parts.first(), frequency) {
                words.push(Word {
                    term: part.term(&text),
                    weight: bm25::weight(frequency, live) * boost,
                });
            }
        }
        Ok(words)
    }
}

impl Part<'_> {
    fn term(&self, word: &str) -> Term {
        Term::from_field_text(self.prompts.fields.prompt, word)
    }

    /// Counts that contradict each other would make an infinite or undefined weight.
    fn minus(&self, all: u64, deleted: u64, what: &str) -> Result<u64> {
        all.checked_sub(deleted).ok_or_else(|| {
            let why = format!("{deleted} of {all} {what} are deleted");
            self.corrupt(why)
        })
    }

    fn corrupt(&self, why: String) -> Error {
        Error::corrupt(&self.prompts.path, "statistics", why)
    }

    /// Prompts that are not deleted.
    fn live(&self) -> Result<u64> {
        let deleted = self.deleted.map_or(0, |(rows, _)| rows.len());
        self.minus(self.rows as u64, deleted, "prompts")
    }

    /// Words of all prompts that are not deleted.
    fn tokens(&self) -> Result<u64> {
        let all = self.prompts.tokens()?;
        self.minus(all, self.deleted.map_or(0, |(_, tokens)| tokens), "words")
    }

    /// Prompts that are not deleted and have the word.
    fn frequency(&self, term: &Term) -> Result<u64> {
        let found = match self.deleted {
            None => self.prompts.frequency(term)?,
            Some((deleted, _)) => self.prompts.frequency_without(term, deleted)?,
        };
        if found > self.live()? {
            let why = format!("{found} of {} prompts have a word", self.rows);
            return Err(self.corrupt(why));
        }
        Ok(found)
    }

    fn score(&self, words: &[Word], factors: &Factors, best: &mut Best) -> Result<()> {
        let folder = &self.prompts.folder;
        let Some(segment) = folder.segment() else {
            return Ok(());
        };
        let field = self.prompts.fields.prompt;
        let (lengths, words) = folder.guard(|| {
            let lengths = segment.fieldnorms_readers().get_inner_file();
            let lengths = match lengths.open_read(field) {
                Some(file) => file.read_bytes()?,
                None => OwnedBytes::empty(),
            };
            let index = segment.inverted_index(field)?;
            let mut found = Vec::new();
            for word in words {
                let option = IndexRecordOption::WithFreqs;
                if let Some(blocks) = index.read_block_postings(&word.term, option)? {
                    found.push(union::Word::new(word.weight, Postings::new(blocks)));
                }
            }
            Ok((lengths, found))
        })?;
        if lengths.len() != self.rows {
            let why = format!("{} lengths of {} prompts", lengths.len(), self.rows);
            return Err(Error::corrupt(&self.prompts.path, "statistics", why));
        }
        if words.is_empty() {
            return Ok(());
        }
        let mut union = Union::new(words, factors, &lengths, self.accept);
        let mut found = Vec::new();
        for start in union.windows() {
            let least = best.least();
            folder.guard(|| {
                union.window(start, least, &mut found);
                Ok(())
            })?;
            for (row, score) in found.drain(..) {
                let entry = EntryId {
                    segment: self.segment,
                    ordinal: row,
                };
                best.offer(score, entry, || (self.id)(row))?;
            }
        }
        Ok(())
    }
}
