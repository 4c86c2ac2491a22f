//! A tantivy index of one segment in a folder of ours: written once, and opened without writing.
//!
//! tantivy keeps a meta file, a list of managed files and lock files of its own. Our MANIFEST is
//! the single truth about a folder, so that the latter two are removed once it is written, and a
//! reader neither needs nor makes them.
//!
//! tantivy trusts its files: on damaged ones it may panic, or ask for so much memory that the process
//! ends. So every block of a file is checked before tantivy reads of it for the first time. Should
//! it panic all the same, [`Folder::guard`] makes an error of that.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;
use tantivy::HasLen;
use tantivy::directory::error::{
    DeleteError, LockError, OpenDirectoryError, OpenReadError, OpenWriteError,
};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, OwnedBytes, WatchCallback,
    WatchHandle, WritePtr,
};
use tantivy::query::{EnableScoring, Query};
use tantivy::schema::Schema;
use tantivy::tokenizer::TokenizerManager;
use tantivy::{
    IndexReader, ReloadPolicy, Searcher, SegmentReader, SingleSegmentIndexWriter, TantivyDocument,
    TantivyError,
};

use crate::blocks::Blocks;
use crate::error::{Error, Result, one_line};
use crate::panics::catch_panic;

/// Bytes that tantivy's term table may start with; it grows as needed.
const WRITER_MEMORY_BYTES: usize = 64 << 20;

/// Writes documents; their number in the order of adding is their id.
pub(crate) struct FolderWriter {
    writer: SingleSegmentIndexWriter,
    path: PathBuf,
}

impl FolderWriter {
    /// Makes the folder.
    pub(crate) fn create(
        path: &Path,
        schema: Schema,
        tokenizers: TokenizerManager,
    ) -> Result<FolderWriter> {
        fs::create_dir(path).map_err(Error::io("create", path))?;
        let failed = |source| tantivy_error("create", path, source);
        let directory = MmapDirectory::open(path).map_err(|error| failed(error.into()))?;
        let writer = tantivy::Index::builder()
            .schema(schema)
            .tokenizers(tokenizers)
            .single_segment_index_writer(directory, WRITER_MEMORY_BYTES)
            .map_err(failed)?;
        Ok(FolderWriter {
            writer,
            path: path.to_owned(),
        })
    }

    pub(crate) fn add(&mut self, document: TantivyDocument) -> Result<()> {
        self.writer
            .add_document(document)
            .map_err(|source| tantivy_error("write", &self.path, source))
    }

    /// Writes what is left and removes the files that only tantivy's own writers need.
    pub(crate) fn finish(self) -> Result<()> {
        let FolderWriter { writer, path } = self;
        writer
            .finalize()
            .map_err(|source| tantivy_error("write", &path, source))?;
        for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let entry = entry.map_err(Error::io("list", &path))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
            }
        }
        Ok(())
    }
}

fn tantivy_error(action: &'static str, path: &Path, source: TantivyError) -> Error {
    Error::Tantivy {
        path: path.to_owned(),
        action,
        source: Box::new(source),
    }
}

/// The files of a folder by name, with the checksums of their blocks.
pub(crate) type Listed = HashMap<PathBuf, Arc<Blocks>>;

/// An opened folder.
pub(crate) struct Folder {
    path: PathBuf,
    schema: Schema,
    searcher: Searcher,
}

impl Folder {
    /// Opens a folder with `documents` documents, of which no file is read that is not `listed`. Its fields must
    /// be those of one of `schemas`.
    pub(crate) fn open(
        path: &Path,
        listed: Listed,
        schemas: &[Schema],
        tokenizers: TokenizerManager,
        documents: usize,
    ) -> Result<Folder> {
        let (found, searcher): (Schema, Searcher) = guard(path, || {
            let directory = ReadOnly {
                directory: MmapDirectory::open(path)?,
                listed: Arc::new(listed),
            };
            let mut index = tantivy::Index::open(directory)?;
            index.set_tokenizers(tokenizers);
            let reader: IndexReader = index
                .reader_builder()
                .reload_policy(ReloadPolicy::Manual)
                .try_into()?;
            Ok((index.schema(), reader.searcher()))
        })?;
        let why = match searcher.segment_readers() {
            _ if !schemas.contains(&found) => "its fields are not those of any version".into(),
            [] if documents == 0 => String::new(),
            [segment] if segment.max_doc() as usize == documents && !segment.has_deletes() => {
                String::new()
            }
            [segment] => format!("{} documents, {documents} expected", segment.max_doc()),
            segments => format!("{} tantivy segments, one expected", segments.len()),
        };
        if !why.is_empty() {
            return Err(Error::corrupt(path, "meta.json", why));
        }
        Ok(Folder {
            path: path.to_owned(),
            schema: found,
            searcher,
        })
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// The one segment; none if there is no document.
    pub(crate) fn segment(&self) -> Option<&SegmentReader> {
        self.searcher.segment_readers().first()
    }

    /// Runs what reads the files, and makes an error of whatever damage does to it.
    pub(crate) fn guard<T>(&self, read: impl FnOnce() -> tantivy::Result<T>) -> Result<T> {
        guard(&self.path, read)
    }

    /// The documents that `query` matches.
    pub(crate) fn select(&self, query: &dyn Query) -> Result<RoaringBitmap> {
        self.guard(|| {
            let mut matches = RoaringBitmap::new();
            let weight = query.weight(EnableScoring::disabled_from_searcher(&self.searcher))?;
            // tantivy walks the terms of no document as if there were some.
            let segments = self.searcher.segment_readers().iter();
            for segment in segments.filter(|segment| segment.max_doc() > 0) {
                weight.for_each_no_score(segment, &mut |documents| {
                    matches.extend(documents.iter().filter(|&&id| id < segment.max_doc()));
                })?;
            }
            Ok(matches)
        })
    }
}

fn guard<T>(path: &Path, read: impl FnOnce() -> tantivy::Result<T>) -> Result<T> {
    // Nothing that a panic could leave half-changed is used again: readers are immutable, and
    // what `read` was filling is dropped with the error.
    match catch_panic(read) {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(match refused(&error) {
            Some((file, source)) => Error::io("read", &path.join(file))(source),
            None => Error::corrupt(path, "tantivy", one_line(&shortened(&error.to_string()))),
        }),
        None => Err(Error::corrupt(
            path,
            "tantivy",
            "its files contradict each other",
        )),
    }
}

/// The system's refusal behind an error, which says nothing about the bytes, and the file that it
/// is about, if known; an absent file does say something.
fn refused(error: &TantivyError) -> Option<(PathBuf, io::Error)> {
    let (file, source) = match error {
        TantivyError::IoError(source) => (PathBuf::new(), source),
        TantivyError::OpenReadError(OpenReadError::IoError { io_error, filepath }) => {
            (filepath.clone(), io_error)
        }
        TantivyError::OpenDirectoryError(OpenDirectoryError::IoError { io_error, .. }) => {
            (PathBuf::new(), io_error)
        }
        _ => return None,
    };
    let source = io::Error::from_raw_os_error(source.raw_os_error()?);
    (source.kind() != io::ErrorKind::NotFound).then_some((file, source))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reads through tantivy's mappings what has been found right; takes no locks, and refuses to write.
#[derive(Clone, Debug)]
struct ReadOnly {
    directory: MmapDirectory,
    listed: Arc<Listed>,
}

impl ReadOnly {
    fn refuse() -> io::Error {
        io::Error::new(
            io::ErrorKind::ReadOnlyFilesystem,
            "an opened index is not written to",
        )
    }

    /// The checksums of a file; one that is not listed is no part of the index.
    fn blocks(&self, path: &Path) -> std::result::Result<Arc<Blocks>, OpenReadError> {
        let blocks = self.listed.get(path).cloned();
        blocks.ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))
    }
}

/// A file whose blocks are checked when they are first read.
#[derive(Debug)]
struct Checked {
    name: PathBuf,
    bytes: OwnedBytes,
    blocks: Arc<Blocks>,
}

impl HasLen for Checked {
    fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl FileHandle for Checked {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        match self.blocks.check(&self.bytes, range.clone()) {
            Ok(()) => Ok(self.bytes.slice(range)),
            Err(why) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {why}", self.name.display()),
            )),
        }
    }
}

impl Directory for ReadOnly {
    fn get_file_handle(
        &self,
        path: &Path,
    ) -> std::result::Result<Arc<dyn FileHandle>, OpenReadError> {
        let blocks = self.blocks(path)?;
        let file = self.directory.get_file_handle(path)?;
        let failed = |error| OpenReadError::wrap_io_error(error, path.to_owned());
        Ok(Arc::new(Checked {
            name: path.to_owned(),
            bytes: file.read_bytes(0..file.len()).map_err(failed)?,
            blocks,
        }))
    }

    fn delete(&self, path: &Path) -> std::result::Result<(), DeleteError> {
        let io_error = Arc::new(ReadOnly::refuse());
        Err(DeleteError::IoError {
            io_error,
            filepath: path.to_owned(),
        })
    }

    fn exists(&self, path: &Path) -> std::result::Result<bool, OpenReadError> {
        Ok(self.listed.contains_key(path) && self.directory.exists(path)?)
    }

    fn open_write(&self, path: &Path) -> std::result::Result<WritePtr, OpenWriteError> {
        let io_error = Arc::new(ReadOnly::refuse());
        Err(OpenWriteError::IoError {
            io_error,
            filepath: path.to_owned(),
        })
    }

    fn atomic_read(&self, path: &Path) -> std::result::Result<Vec<u8>, OpenReadError> {
        let file = self.get_file_handle(path)?;
        let failed = |error| OpenReadError::wrap_io_error(error, path.to_owned());
        let bytes = file.read_bytes(0..file.len()).map_err(failed)?;
        Ok(bytes.to_vec())
    }

    fn atomic_write(&self, _path: &Path, _data: &[u8]) -> io::Result<()> {
        Err(ReadOnly::refuse())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Err(ReadOnly::refuse())
    }

    /// Segments are write-once and never collected while open, so there is nothing to lock.
    fn acquire_lock(&self, _lock: &Lock) -> std::result::Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

/// The files of a folder that was just written, for tests.
#[cfg(test)]
pub(crate) fn listed(path: &Path) -> Listed {
    let list = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        let whole = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&bytes));
        let blocks = Blocks::parse("", &whole, bytes.len() as u64).unwrap();
        (PathBuf::from(entry.file_name()), Arc::new(blocks))
    };
    fs::read_dir(path).unwrap().map(list).collect()
}
