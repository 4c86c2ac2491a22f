//! The folder `prompts/`: the words of every prompt, and its text. BM25 (Robertson and Zaragoza,
//! 2009) by tantivy; document ids are the rows of `vectors`.

mod words;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;

use roaring::RoaringBitmap;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Query, TermQuery};
use tantivy::schema::{
    Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions, Value as _,
};
use tantivy::{DocAddress, DocSet, TERMINATED, TantivyDocument, Term};

pub(crate) use self::words::{tokenizers, words};
use crate::error::{Error, Result};
use crate::folder::{Folder, FolderWriter};
use crate::id::PromptId;
use crate::vector::Candidate;

/// Queries of more words than this are answered by scoring every prompt that has one of them.
/// Skipping blocks of hopeless prompts (block-max WAND, Ding and Suel 2011) gives the same answer
/// and is the faster way only for few words: with 10 words it took 1.7 times as long, with 20
/// words 3.8 times (200 000 prompts of 19 words, top 100).
const MAX_WORDS_PRUNED: usize = 9;

/// What to look for in the prompts' words.
#[derive(Clone, Debug, PartialEq)]
pub enum KeywordQuery {
    /// Free text: prompts with any of its words, the rarer and the more the better. Never a
    /// syntax error.
    Text(String),
    /// Words with weights, for instance their probabilities. Words whose weight is not above 0
    /// (or not finite) are left out.
    Weighted(Vec<(String, f32)>),
}

impl KeywordQuery {
    /// Words as they stand in the index, each with the sum of its weights.
    fn weights(&self) -> BTreeMap<String, f32> {
        let mut weights = BTreeMap::new();
        let mut add = |text: &str, weight: f32| {
            for (_, word) in words(text) {
                *weights.entry(word).or_insert(0.0) += weight;
            }
        };
        match self {
            KeywordQuery::Text(text) => add(text, 1.0),
            KeywordQuery::Weighted(words) => {
                let usable = |weight: f32| weight > 0.0 && weight.is_finite();
                words
                    .iter()
                    .filter(|(_, w)| usable(*w))
                    .for_each(|(word, w)| add(word, *w));
            }
        }
        weights
    }
}

/// The fields of the folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PromptFields {
    id: Field,
    /// Words with positions; the text is stored.
    pub(crate) prompt: Field,
}

fn schema() -> (Schema, PromptFields) {
    let mut builder = Schema::builder();
    let raw = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    let id = builder.add_text_field("id", TextOptions::default().set_indexing_options(raw));
    let text = TextFieldIndexing::default()
        .set_tokenizer(words::ANALYZER)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let text = TextOptions::default()
        .set_indexing_options(text)
        .set_stored();
    let prompt = builder.add_text_field("prompt", text);
    (builder.build(), PromptFields { id, prompt })
}

/// Writes the folder.
pub(crate) struct PromptsWriter {
    folder: FolderWriter,
    fields: PromptFields,
}

impl PromptsWriter {
    pub(crate) fn create(path: &Path) -> Result<PromptsWriter> {
        let (schema, fields) = schema();
        let folder = FolderWriter::create(path, schema, tokenizers())?;
        Ok(PromptsWriter { folder, fields })
    }

    pub(crate) fn push(&mut self, id: PromptId, prompt: &str) -> Result<()> {
        let mut document = TantivyDocument::new();
        document.add_text(self.fields.id, id.to_string());
        document.add_text(self.fields.prompt, prompt);
        self.folder.add(document)
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.folder.finish()
    }
}

/// The opened folder.
pub(crate) struct Prompts {
    folder: Folder,
    pub(crate) fields: PromptFields,
    path: std::path::PathBuf,
}

impl Prompts {
    /// Opens the folder of `prompts` prompts.
    pub(crate) fn open(path: &Path, prompts: usize) -> Result<Prompts> {
        let (schema, fields) = schema();
        let folder = Folder::open(path, &schema, tokenizers(), prompts)?;
        Ok(Prompts {
            folder,
            fields,
            path: path.to_owned(),
        })
    }

    /// The text of a prompt.
    pub(crate) fn text(&self, row: u32) -> Result<String> {
        let document = self.folder.guard(|| {
            self.folder
                .searcher()
                .doc::<TantivyDocument>(DocAddress::new(0, row))
        })?;
        let text = document
            .get_first(self.fields.prompt)
            .and_then(|value| value.as_str());
        let text = text.map(str::to_owned);
        text.ok_or_else(|| Error::corrupt(&self.path, "store", format!("row {row} has no text")))
    }

    /// The row of a prompt.
    pub(crate) fn find(&self, id: PromptId) -> Result<Option<u32>> {
        let Some(segment) = self.folder.segment() else {
            return Ok(None);
        };
        let term = Term::from_field_text(self.fields.id, &id.to_string());
        self.folder.guard(|| {
            let index = segment.inverted_index(self.fields.id)?;
            let postings = index.read_postings(&term, IndexRecordOption::Basic)?;
            Ok(postings
                .map(|postings| postings.doc())
                .filter(|&row| row != TERMINATED))
        })
    }

    /// The rows that a query matches.
    pub(crate) fn select(&self, query: &dyn Query) -> Result<RoaringBitmap> {
        self.folder.select(query)
    }

    /// The `k` best rows by BM25, of `accept` if given, best first.
    pub(crate) fn search(
        &self,
        query: &KeywordQuery,
        k: usize,
        accept: Option<&RoaringBitmap>,
    ) -> Result<Vec<Candidate>> {
        let weights = query.weights();
        let words = weights.len();
        if words == 0 || k == 0 {
            return Ok(Vec::new());
        }
        let any = weights.into_iter().map(|(word, weight)| {
            let term = Term::from_field_text(self.fields.prompt, &word);
            let query: Box<dyn Query> =
                Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
            if weight == 1.0 {
                query
            } else {
                Box::new(BoostQuery::new(query, weight))
            }
        });
        let query = BooleanQuery::union(any.collect());
        if accept.is_none() && words <= MAX_WORDS_PRUNED {
            self.best_pruned(&query, k)
        } else {
            self.best_of_all(&query, k, accept)
        }
    }

    fn best_pruned(&self, query: &BooleanQuery, k: usize) -> Result<Vec<Candidate>> {
        self.folder.guard(|| {
            let searcher = self.folder.searcher();
            let limit = k.min(searcher.num_docs() as usize).max(1);
            let found = searcher.search(query, &TopDocs::with_limit(limit).order_by_score())?;
            let candidate = |(score, at): (f32, DocAddress)| Candidate {
                score,
                row: at.doc_id,
            };
            Ok(found.into_iter().map(candidate).collect())
        })
    }

    fn best_of_all(
        &self,
        query: &BooleanQuery,
        k: usize,
        accept: Option<&RoaringBitmap>,
    ) -> Result<Vec<Candidate>> {
        let mut best: BinaryHeap<Reverse<Candidate>> = BinaryHeap::new();
        self.folder.guard(|| {
            let searcher = self.folder.searcher();
            let weight = query.weight(EnableScoring::enabled_from_searcher(searcher))?;
            for segment in searcher.segment_readers() {
                weight.for_each(segment, &mut |row, score| {
                    let candidate = Candidate { score, row };
                    if best.len() >= k && best.peek().is_some_and(|worst| candidate <= worst.0) {
                        return;
                    }
                    if accept.is_none_or(|rows| rows.contains(row)) {
                        if best.len() >= k {
                            best.pop();
                        }
                        best.push(Reverse(candidate));
                    }
                })?;
            }
            Ok(())
        })?;
        Ok(best
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse(candidate)| candidate)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(texts: &[&str]) -> (tempfile::TempDir, Prompts) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prompts");
        let mut writer = PromptsWriter::create(&path).unwrap();
        for text in texts {
            writer.push(PromptId::of(text), text).unwrap();
        }
        writer.finish().unwrap();
        let opened = Prompts::open(&path, texts.len()).unwrap();
        (dir, opened)
    }

    fn rows(found: &[Candidate]) -> Vec<u32> {
        found.iter().map(|candidate| candidate.row).collect()
    }

    #[test]
    fn rows_are_in_the_order_of_writing() {
        let texts: Vec<String> = (0..3000).map(|i| format!("prompt number {i}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (_dir, prompts) = prompts(&texts);
        for row in [0, 1, 1499, 2999] {
            assert_eq!(prompts.text(row).unwrap(), texts[row as usize]);
            let id = PromptId::of(texts[row as usize]);
            assert_eq!(prompts.find(id).unwrap(), Some(row));
        }
        assert_eq!(prompts.find(PromptId::of("absent")).unwrap(), None);
        assert!(prompts.text(3000).is_err());
    }

    #[test]
    fn weights_decide_and_bad_ones_are_left_out() {
        let (_dir, prompts) = prompts(&["a red fox", "a blue bird", "an owl"]);
        let find = |words: &[(&str, f32)]| {
            let words = words
                .iter()
                .map(|(word, w)| ((*word).to_owned(), *w))
                .collect();
            rows(
                &prompts
                    .search(&KeywordQuery::Weighted(words), 10, None)
                    .unwrap(),
            )
        };
        assert_eq!(find(&[("fox", 0.9), ("bird", 0.2)]), [0, 1]);
        assert_eq!(find(&[("fox", 0.1), ("bird", 0.2)]), [1, 0]);
        assert_eq!(
            find(&[
                ("fox", f32::NAN),
                ("bird", -1.0),
                ("owls", 0.5),
                ("red", 0.0)
            ]),
            [2]
        );
        assert!(find(&[]).is_empty());
    }

    #[test]
    fn text_is_never_a_syntax_error() {
        let (_dir, prompts) = prompts(&["a red fox"]);
        for text in [
            "fox AND",
            "\"fox",
            "-fox:[",
            "(((fox",
            "fox~^*\\",
            "FOX OR OR",
        ] {
            let found = prompts
                .search(&KeywordQuery::Text(text.into()), 10, None)
                .unwrap();
            assert_eq!(rows(&found), [0], "{text}");
        }
        assert!(
            prompts
                .search(&KeywordQuery::Text("?!".into()), 10, None)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn both_ways_to_score_agree() {
        let texts: Vec<String> = (0..2000u32)
            .map(|i| {
                (0..12)
                    .map(|j| format!("w{} ", (i * 31 + j * j * 17) % (20 + j * 9)))
                    .collect()
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (_dir, prompts) = prompts(&texts);
        let query = (0..8).map(|i| {
            let term = Term::from_field_text(prompts.fields.prompt, &format!("w{}", i * 5));
            let term = Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
            Box::new(BoostQuery::new(term, 1.0 + i as f32)) as Box<dyn Query>
        });
        let query = BooleanQuery::union(query.collect());
        let pruned = prompts.best_pruned(&query, 50).unwrap();
        let all = prompts.best_of_all(&query, 50, None).unwrap();
        assert_eq!(pruned.len(), 50);
        for (a, b) in pruned.iter().zip(&all) {
            assert!((a.score - b.score).abs() < 1e-4, "{a:?} {b:?}");
        }
        let even = (0..2000).filter(|row| row % 2 == 0).collect();
        let accepted = prompts.best_of_all(&query, 2000, Some(&even)).unwrap();
        let every = prompts.best_of_all(&query, 2000, None).unwrap();
        let expected: Vec<u32> = rows(&every)
            .into_iter()
            .filter(|row| row % 2 == 0)
            .collect();
        assert_eq!(rows(&accepted), expected);
    }
}
