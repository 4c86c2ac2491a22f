//! BM25 (Robertson and Zaragoza, 2009) over the prompts of several segments as over one.
//!
//! Document counts, document frequencies and lengths are those of all prompts that are not
//! deleted, and the scores of a prompt's words are added in the order of the words. So a score
//! depends to the last bit on the prompts alone, not on how they are spread over segments, nor on
//! what was deleted before; a query parser's union of terms would promise neither.
//!
//! Prompts are scored word by word within windows that stay in the processor's cache. Skipping
//! blocks of hopeless prompts (block-max WAND, Ding and Suel 2011) is slower for queries as long as
//! prompts: in tantivy it took 1.7 times as long with 10 words as scoring all, and 3.8 times with 20
//! (200 000 prompts of 19 words, top 100).

use roaring::RoaringBitmap;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::query::Bm25Weight;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED, Term};

use super::{KeywordQuery, Prompts};
use crate::best::{Best, Found};
use crate::error::{Error, Result};
use crate::id::{EntryId, PromptId};

/// Prompts scored at a time: a quarter of a megabyte of scores.
const WINDOW: u32 = 1 << 16;

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

/// A word of a query with its weight for one prompt of average length.
struct Word {
    term: Term,
    weight: Bm25Weight,
}

impl Corpus<'_> {
    /// The `k` best prompts, best first.
    pub(crate) fn best(&self, query: &KeywordQuery, k: usize) -> Result<Vec<Found>> {
        let words = self.words(query)?;
        let mut best = Best::new(k);
        if !words.is_empty() && k > 0 {
            for part in &self.parts {
                part.score(&words, &mut best)?;
            }
        }
        Ok(best.into_sorted())
    }

    /// The words of the query that any prompt has, in their order.
    fn words(&self, query: &KeywordQuery) -> Result<Vec<Word>> {
        let (mut live, mut tokens) = (0, 0);
        for part in &self.parts {
            live += part.live()?;
            tokens += part.tokens()?;
        }
        let average = tokens as f32 / live as f32;
        let mut words = Vec::new();
        for (text, boost) in query.weights() {
            let mut frequency = 0;
            for part in &self.parts {
                frequency += part.frequency(&part.term(&text))?;
            }
            if let (Some(part), 1..) = (self.parts.first(), frequency) {
                let weight = Bm25Weight::for_one_term_without_explain(frequency, live, average);
                words.push(Word {
                    term: part.term(&text),
                    weight: weight.boost_by(boost),
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
            Error::corrupt(&self.prompts.path, "statistics", why)
        })
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
            return Err(Error::corrupt(&self.prompts.path, "statistics", why));
        }
        Ok(found)
    }

    fn score(&self, words: &[Word], best: &mut Best) -> Result<()> {
        let folder = &self.prompts.folder;
        let Some(segment) = folder.segment() else {
            return Ok(());
        };
        let field = self.prompts.fields.prompt;
        let (lengths, mut cursors) = folder.guard(|| {
            let lengths = segment.get_fieldnorms_reader(field)?;
            let index = segment.inverted_index(field)?;
            let mut cursors: Vec<(&Bm25Weight, SegmentPostings)> = Vec::new();
            for word in words {
                let option = IndexRecordOption::WithFreqs;
                if let Some(postings) = index.read_postings(&word.term, option)? {
                    cursors.push((&word.weight, postings));
                }
            }
            Ok((lengths, cursors))
        })?;
        let mut scores = vec![0.0; WINDOW.min(self.rows as u32) as usize];
        loop {
            let next = cursors.iter().map(|(_, postings)| postings.doc()).min();
            let Some(first) = next.filter(|&row| row != TERMINATED) else {
                return Ok(());
            };
            let start = first - first % WINDOW;
            scores.fill(0.0);
            folder.guard(|| {
                for (weight, postings) in &mut cursors {
                    add(weight, postings, &lengths, start, &mut scores);
                }
                Ok(())
            })?;
            self.offer(start, &scores, best)?;
        }
    }

    fn offer(&self, start: u32, scores: &[f32], best: &mut Best) -> Result<()> {
        let rows = start..self.rows as u32;
        for (row, &score) in rows.zip(scores) {
            if score > 0.0
                && best.wants(score)
                && self.accept.is_none_or(|accept| accept.contains(row))
            {
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

/// Adds a word's share to the scores of a window, and moves its cursor past it.
fn add(
    weight: &Bm25Weight,
    postings: &mut SegmentPostings,
    lengths: &FieldNormReader,
    start: u32,
    scores: &mut [f32],
) {
    let mut row = postings.doc();
    // Damaged postings may step back, or beyond the last prompt: such rows are no prompt's.
    let end = TERMINATED.min(start + WINDOW);
    while row < end {
        let score = row
            .checked_sub(start)
            .and_then(|place| scores.get_mut(place as usize));
        if let Some(score) = score {
            *score += weight.score(lengths.fieldnorm_id(row), postings.term_freq());
        }
        row = postings.advance();
    }
}
