//! The folder `prompts/`: the words of every prompt, and its text, by tantivy; document ids are the
//! rows of `vectors`. [`corpus`] scores prompts by words: [`bm25`] weighs them, [`postings`] reads
//! tantivy's lists, [`union`] leaves hopeless prompts out.

mod bm25;
mod corpus;
mod postings;
mod query;
mod union;
mod words;

use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;
use tantivy::query::Query;
use tantivy::schema::{
    Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions, Value as _,
};
use tantivy::{DocAddress, DocSet, InvertedIndexReader, TERMINATED, TantivyDocument, Term};

pub(crate) use self::corpus::{Corpus, Part};
pub use self::query::KeywordQuery;
pub(crate) use self::words::{NAME, folded, tokenizers, words};
use crate::error::{Error, Result};
use crate::folder::{Folder, FolderWriter, Listed};
use crate::id::PromptId;

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
    path: PathBuf,
}

impl Prompts {
    /// Opens the folder of `prompts` prompts.
    pub(crate) fn open(path: &Path, listed: Listed, prompts: usize) -> Result<Prompts> {
        let (schema, fields) = schema();
        let folder = Folder::open(path, listed, &[schema], tokenizers(), prompts)?;
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

    /// Words in all prompts together.
    fn tokens(&self) -> Result<u64> {
        self.indexed(0, |index| Ok(index.total_num_tokens()))
    }

    /// Prompts with a word.
    fn frequency(&self, term: &Term) -> Result<u64> {
        self.indexed(0, |index| Ok(index.doc_freq(term)?.into()))
    }

    /// Prompts with a word, not counting some rows.
    fn frequency_without(&self, term: &Term, rows: &RoaringBitmap) -> Result<u64> {
        self.indexed(0, |index| {
            let postings = index.read_postings(term, IndexRecordOption::Basic)?;
            let Some(mut postings) = postings else {
                return Ok(0);
            };
            let mut count = 0;
            let mut row = postings.doc();
            while row != TERMINATED {
                count += u64::from(!rows.contains(row));
                row = postings.advance();
            }
            Ok(count)
        })
    }

    /// Reads the word index; `empty` if there is none, because there is no prompt.
    fn indexed<T>(
        &self,
        empty: T,
        read: impl FnOnce(&InvertedIndexReader) -> tantivy::Result<T>,
    ) -> Result<T> {
        match self.folder.segment() {
            Some(segment) => self
                .folder
                .guard(|| read(&*segment.inverted_index(self.fields.prompt)?)),
            None => Ok(empty),
        }
    }

    /// The rows that a query matches.
    pub(crate) fn select(&self, query: &dyn Query) -> Result<RoaringBitmap> {
        self.folder.select(query)
    }
}

#[cfg(test)]
mod tests;
