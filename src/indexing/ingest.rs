//! Rows into an index: each distinct prompt is embedded once, also if the process is killed on the
//! way, and all of it is committed or nothing.

use std::io::ErrorKind;
use std::path::Path;

use unprompt_index::{BuildOptions, Filter, Stats, Writer};

use super::{IndexingEvent, Observe, check_encoder, index_encoder};
use crate::data::gallery::{self, KnownFiles};
use crate::data::records::{PromptRecord, Records};
use crate::data::row::Row;
use crate::error::{Error, Result};
use crate::text::{SentenceEncoder, cosine};

/// Prompts that are embedded and staged together: some seconds of work, the most that a kill costs.
const PROMPTS_AT_ONCE: usize = 1024;

/// Vectors that came with their prompts and are compared with the sentence encoder's.
const SAMPLE: usize = 16;

/// The least mean cosine of these: far below what rounding the encoder's vectors does, and far above
/// what vectors of another model have.
const LEAST_AGREEMENT: f32 = 0.7;

/// Takes rows for a new or an existing index.
///
/// Prompts and images are held in memory until the end, vectors are not.
pub struct Ingest<'a> {
    writer: Writer,
    sentences: &'a SentenceEncoder,
    records: Records,
    /// Prompts that came with a vector and are not staged yet, and their vectors.
    prompts: Vec<String>,
    vectors: Vec<f32>,
    /// Whether vectors that came with their prompts have been found to be of the encoder.
    compared: bool,
    removed: usize,
}

/// What became of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// The index afterwards.
    pub stats: Stats,
    /// Prompts that are new to it.
    pub added: usize,
    /// Images that were there before and are not any more; changed files are none of them.
    pub removed: usize,
    /// Prompts that were embedded; the others were known, staged, or came with a vector.
    pub embedded: usize,
}

impl<'a> Ingest<'a> {
    /// For a new index at `dir`. Where a build was killed or stopped, what it embedded is there
    /// again.
    ///
    /// # Errors
    /// Those of [`Writer::create`].
    pub fn create(
        dir: &Path,
        sentences: &'a SentenceEncoder,
        options: BuildOptions,
    ) -> Result<Self> {
        let encoder = index_encoder(sentences.identity());
        Ok(Self::new(Writer::create(dir, encoder, options)?, sentences))
    }

    /// For the index at `dir`.
    ///
    /// # Errors
    /// [`EncoderMismatch`](crate::Error::EncoderMismatch) if it holds vectors of another encoder,
    /// and those of [`Writer::open`].
    pub fn open(dir: &Path, sentences: &'a SentenceEncoder, options: BuildOptions) -> Result<Self> {
        let writer = Writer::open(dir, options)?;
        check_encoder(writer.encoder(), sentences.identity())?;
        Ok(Self::new(writer, sentences))
    }

    fn new(writer: Writer, sentences: &'a SentenceEncoder) -> Self {
        Self {
            removed: 0,
            writer,
            sentences,
            records: Records::default(),
            prompts: Vec::new(),
            vectors: Vec::new(),
            compared: false,
        }
    }

    /// The image files that the index had before: what a gallery is compared with.
    ///
    /// # Errors
    /// What the index reports.
    pub fn known_files(&self) -> Result<KnownFiles> {
        let mut known = KnownFiles::default();
        if let Some(index) = self.writer.before() {
            let read_from_files = Filter::parse("file_size:*")?;
            index.for_each_image(&read_from_files, &mut |_, image| known.add(&image))?;
        }
        Ok(known)
    }

    /// Removes what the index had of an image file, to have it replaced.
    ///
    /// # Errors
    /// What the index reports.
    pub fn replace(&mut self, file: &str) -> Result<()> {
        self.writer.remove_images(file)?;
        Ok(())
    }

    /// Removes the image of a file that is gone, or has no prompt any more.
    ///
    /// # Errors
    /// What the index reports.
    pub fn remove(&mut self, file: &str) -> Result<()> {
        self.removed += self.writer.remove_images(file)?;
        Ok(())
    }

    /// Removes the images of those `known` files that lay in `folder` or below and are not there any more. The folder
    /// itself may be gone.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be told where the folder is, and what the index reports.
    pub fn prune(&mut self, folder: &Path, known: &KnownFiles) -> Result<()> {
        let is_gone = |name: &&str| {
            // A link whose file is away is still there.
            match Path::new(name).symlink_metadata() {
                Ok(found) => found.is_dir(),
                Err(error) => {
                    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                }
            }
        };
        let folder = gallery::whole_folder(folder)?;
        known
            .below(&folder)
            .filter(is_gone)
            .try_for_each(|file| self.remove(file))
    }

    /// Images removed so far.
    pub fn removed(&self) -> usize {
        self.removed
    }

    /// Numbers in a vector.
    pub fn dim(&self) -> usize {
        self.writer.encoder().dim
    }

    /// Vectors that an unfinished build has left for this one.
    pub fn staged(&self) -> usize {
        self.writer.staged()
    }

    /// Takes a row. A vector that comes with it is taken as it is, unless the prompt has one.
    ///
    /// # Errors
    /// [`Error::ForeignVectors`] if vectors are not of the sentence encoder, and what the index
    /// reports.
    pub fn take(&mut self, mut row: Row) -> Result<()> {
        if let Some(vector) = row.vector.take()
            && !self.records.contains(&row.prompt)
            && !self.writer.knows(&row.prompt)?
        {
            self.prompts.push(row.prompt.clone());
            self.vectors.extend(vector);
            if self.prompts.len() >= PROMPTS_AT_ONCE {
                self.stage()?;
            }
        }
        self.records.add(row);
        Ok(())
    }

    /// Stages vectors that came with their prompts. The first ones are compared with those that the
    /// sentence encoder gives: vectors of another model would make an index that nothing is found
    /// in, and would be taken for its own by a build that goes on with them.
    fn stage(&mut self) -> Result<()> {
        let prompts: Vec<&str> = self.prompts.iter().map(String::as_str).collect();
        if !self.compared && !prompts.is_empty() {
            let sample: Vec<&str> = prompts.iter().copied().take(SAMPLE).collect();
            let own = self.sentences.embed(&sample)?;
            let pairs = self.vectors.chunks(own.dim()).zip(own.rows());
            let sum: f32 = pairs.map(|(given, own)| cosine(given, own)).sum();
            let mean = sum / sample.len() as f32;
            if mean < LEAST_AGREEMENT {
                return Err(Error::ForeignVectors {
                    encoder: self.writer.encoder().name.clone(),
                    cosine: mean,
                });
            }
            self.compared = true;
        }
        self.writer.stage(&prompts, &self.vectors)?;
        self.prompts.clear();
        self.vectors.clear();
        Ok(())
    }

    /// Distinct prompts taken so far.
    pub fn len(&self) -> usize {
        self.records.prompts().len()
    }

    /// Whether no row was taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Embeds what has no vector yet, and commits.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks: the index is as it was, and what
    /// has been embedded is kept for the next time. [`Error::ForeignVectors`], and what the encoder or
    /// the index reports.
    pub fn finish(mut self, observe: &mut Observe<'_>) -> Result<Ingested> {
        self.stage()?;
        let before = self.writer.len();
        let records = self.records.into_prompts();
        let mut known = 0;
        for record in &records {
            known += usize::from(self.writer.knows(&record.prompt)?);
        }
        let mut progress = Embedding {
            known,
            total: records.len(),
            embedded: 0,
        };
        let mut records = records.into_iter();
        loop {
            let batch: Vec<PromptRecord> = records.by_ref().take(PROMPTS_AT_ONCE).collect();
            if batch.is_empty() {
                break;
            }
            progress.embed(&mut self.writer, self.sentences, &batch, observe)?;
            for PromptRecord {
                prompt,
                images,
                given,
            } in batch
            {
                if given {
                    self.writer.add(&prompt, vec![])?;
                }
                if !images.is_empty() {
                    self.writer.add(&prompt, images)?;
                }
            }
        }
        let added = self.writer.len() - before;
        let stats = self
            .writer
            .commit(&mut |phase| observe(IndexingEvent::Writing(phase)))?;
        Ok(Ingested {
            stats,
            added,
            removed: self.removed,
            embedded: progress.embedded,
        })
    }
}

/// How far the embedding is.
struct Embedding {
    known: usize,
    total: usize,
    embedded: usize,
}

impl Embedding {
    /// Embeds and stages the prompts of a batch that have no vector.
    fn embed(
        &mut self,
        writer: &mut Writer,
        sentences: &SentenceEncoder,
        batch: &[PromptRecord],
        observe: &mut Observe<'_>,
    ) -> Result<()> {
        let mut texts = Vec::new();
        for PromptRecord { prompt, .. } in batch {
            if !writer.knows(prompt)? {
                texts.push(prompt.as_str());
            }
        }
        if texts.is_empty() {
            return Ok(());
        }
        let done = self.known + self.embedded;
        let embeddings = sentences.embed_with(&texts, |count| {
            observe(IndexingEvent::Embedding(done + count, self.total))
        })?;
        self.embedded += texts.len();
        Ok(writer.stage(&texts, embeddings.as_slice())?)
    }
}
