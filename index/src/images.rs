//! The folder `images/`: a row of columns for every image, nothing else, sorted by prompt, so that
//! the images of a prompt are one range of documents.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use roaring::RoaringBitmap;
use tantivy::columnar::{Column, StrColumn};
use tantivy::query::{ExistsQuery, Query, TermQuery};
use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, OwnedValue, Schema, SchemaBuilder, TextFieldIndexing,
    TextOptions,
};
use tantivy::{SegmentReader, TantivyDocument, TantivyError, Term};

use crate::error::{Error, Result};
use crate::folder::{Folder, FolderWriter, Listed};
use crate::keyword::{NAME, tokenizers};
use crate::record::ImageRecord;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string, compared as a whole.
    Word,
    /// The same, but capitals do not matter.
    Name,
    /// A whole number from 0.
    Whole,
    /// An f32, kept as the f64 of the same value.
    Real,
    /// Milliseconds since 1970 UTC.
    Time,
}

/// The columns of an image in the order of the schema.
pub(crate) const COLUMNS: [(&str, Kind); 15] = [
    (NAME_COLUMN, Kind::Word),
    ("part_id", Kind::Whole),
    ("seed", Kind::Whole),
    ("step", Kind::Whole),
    ("cfg", Kind::Real),
    ("sampler", Kind::Name),
    ("width", Kind::Whole),
    ("height", Kind::Whole),
    ("image_nsfw", Kind::Real),
    ("prompt_nsfw", Kind::Real),
    ("timestamp", Kind::Time),
    ("model", Kind::Name),
    ("generator", Kind::Name),
    ("file_size", Kind::Whole),
    (PREDICTED_COLUMN, Kind::Real),
];

/// The columns that format version 1 had, in which capitals mattered everywhere.
const COLUMNS_OF_VERSION_1: usize = 11;

/// The first of them.
const NAME_COLUMN: &str = "image_name";

/// The last of them.
const PREDICTED_COLUMN: &str = "predicted";

/// The column that says which prompt an image belongs to, by its row.
const PROMPT_ROW: &str = "prompt_row";

/// Strings are indexed as terms too; numbers are columns only, which answer ranges and equality by
/// a scan of bit-packed values: their terms would take more space than all the rest.
fn schema() -> (Schema, Fields) {
    let mut builder = SchemaBuilder::default();
    let prompt_row = builder.add_u64_field(PROMPT_ROW, NumericOptions::default().set_fast());
    let columns = COLUMNS.map(|(name, kind)| add_column(&mut builder, name, kind));
    let fields = Fields {
        prompt_row,
        columns,
    };
    (builder.build(), fields)
}

/// What segments have that format version 1 wrote.
fn schema_of_version_1() -> Schema {
    let mut builder = SchemaBuilder::default();
    builder.add_u64_field(PROMPT_ROW, NumericOptions::default().set_fast());
    for (name, kind) in COLUMNS.into_iter().take(COLUMNS_OF_VERSION_1) {
        let kind = match kind {
            Kind::Name => Kind::Word,
            other => other,
        };
        add_column(&mut builder, name, kind);
    }
    builder.build()
}

fn add_column(builder: &mut SchemaBuilder, name: &str, kind: Kind) -> Field {
    let numbers = NumericOptions::default().set_fast();
    let text = |tokenizer| {
        let terms = TextFieldIndexing::default()
            .set_tokenizer(tokenizer)
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::Basic);
        TextOptions::default()
            .set_indexing_options(terms)
            .set_fast("raw")
    };
    match kind {
        Kind::Word => builder.add_text_field(name, text("raw")),
        Kind::Name => builder.add_text_field(name, text(NAME)),
        Kind::Whole => builder.add_u64_field(name, numbers),
        Kind::Real => builder.add_f64_field(name, numbers),
        Kind::Time => builder.add_i64_field(name, numbers),
    }
}

struct Fields {
    prompt_row: Field,
    /// In the order of [`COLUMNS`].
    columns: [Field; COLUMNS.len()],
}

/// Writes the folder.
pub(crate) struct ImagesWriter {
    folder: FolderWriter,
    fields: Fields,
}

impl ImagesWriter {
    pub(crate) fn create(path: &Path) -> Result<ImagesWriter> {
        let (schema, fields) = schema();
        let folder = FolderWriter::create(path, schema, tokenizers())?;
        Ok(ImagesWriter { folder, fields })
    }

    /// Adds an image of the prompt at `row`, which must not be less than the last one's.
    pub(crate) fn push(&mut self, row: u32, image: &ImageRecord) -> Result<()> {
        let whole = |value: Option<u32>| value.map(|value| OwnedValue::U64(value.into()));
        let real = |value: Option<f32>| value.map(|value| OwnedValue::F64(value.into()));
        // In the order of COLUMNS.
        let values: [Option<OwnedValue>; COLUMNS.len()] = [
            Some(OwnedValue::Str(image.image_name.clone())),
            whole(image.part_id),
            image.seed.map(OwnedValue::U64),
            whole(image.step),
            real(image.cfg),
            image.sampler.clone().map(OwnedValue::Str),
            whole(image.width),
            whole(image.height),
            real(image.image_nsfw),
            real(image.prompt_nsfw),
            image.timestamp.map(OwnedValue::I64),
            image.model.clone().map(OwnedValue::Str),
            image.generator.clone().map(OwnedValue::Str),
            image.file_size.map(OwnedValue::U64),
            real(image.predicted),
        ];
        let mut document = TantivyDocument::new();
        document.add_u64(self.fields.prompt_row, row.into());
        for (field, value) in self.fields.columns.iter().zip(&values) {
            if let Some(value) = value {
                document.add_field_value(*field, value);
            }
        }
        self.folder.add(document)
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.folder.finish()
    }
}

/// The columns of the one segment; a column that no image fills is absent.
struct Columns {
    prompt_row: Column<u64>,
    part_id: Option<Column<u64>>,
    seed: Option<Column<u64>>,
    step: Option<Column<u64>>,
    width: Option<Column<u64>>,
    height: Option<Column<u64>>,
    cfg: Option<Column<f64>>,
    image_nsfw: Option<Column<f64>>,
    prompt_nsfw: Option<Column<f64>>,
    timestamp: Option<Column<i64>>,
    image_name: Option<StrColumn>,
    sampler: Option<StrColumn>,
    model: Option<StrColumn>,
    generator: Option<StrColumn>,
    file_size: Option<Column<u64>>,
    predicted: Option<Column<f64>>,
}

impl Columns {
    fn open(segment: &SegmentReader) -> tantivy::Result<Columns> {
        let columns = segment.fast_fields();
        Ok(Columns {
            prompt_row: columns.u64(PROMPT_ROW)?,
            part_id: columns.column_opt("part_id")?,
            seed: columns.column_opt("seed")?,
            step: columns.column_opt("step")?,
            width: columns.column_opt("width")?,
            height: columns.column_opt("height")?,
            cfg: columns.column_opt("cfg")?,
            image_nsfw: columns.column_opt("image_nsfw")?,
            prompt_nsfw: columns.column_opt("prompt_nsfw")?,
            timestamp: columns.column_opt("timestamp")?,
            image_name: columns.str("image_name")?,
            sampler: columns.str("sampler")?,
            model: columns.str("model")?,
            generator: columns.str("generator")?,
            file_size: columns.column_opt("file_size")?,
            predicted: columns.column_opt("predicted")?,
        })
    }

    fn record(&self, image: u32) -> tantivy::Result<ImageRecord> {
        let whole = |column: &Option<Column<u64>>| column.as_ref().and_then(|c| c.first(image));
        let small = |column| match whole(column).map(u32::try_from) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(error)) => Err(damaged(&error)),
        };
        let real = |column: &Option<Column<f64>>| {
            column
                .as_ref()
                .and_then(|c| c.first(image))
                .map(|value| value as f32)
        };
        Ok(ImageRecord {
            image_name: word(self.image_name.as_ref(), image)?.unwrap_or_default(),
            part_id: small(&self.part_id)?,
            seed: whole(&self.seed),
            step: small(&self.step)?,
            cfg: real(&self.cfg),
            sampler: word(self.sampler.as_ref(), image)?,
            width: small(&self.width)?,
            height: small(&self.height)?,
            image_nsfw: real(&self.image_nsfw),
            prompt_nsfw: real(&self.prompt_nsfw),
            timestamp: self.timestamp.as_ref().and_then(|c| c.first(image)),
            model: word(self.model.as_ref(), image)?,
            generator: word(self.generator.as_ref(), image)?,
            file_size: whole(&self.file_size),
            predicted: real(&self.predicted),
        })
    }
}

fn word(column: Option<&StrColumn>, image: u32) -> tantivy::Result<Option<String>> {
    let Some(column) = column else {
        return Ok(None);
    };
    let Some(ordinal) = column.term_ords(image).next() else {
        return Ok(None);
    };
    let mut word = String::new();
    match column.ord_to_str(ordinal, &mut word)? {
        true => Ok(Some(word)),
        false => Err(damaged(&"a string is missing")),
    }
}

fn damaged(why: &dyn Display) -> TantivyError {
    TantivyError::InternalError(why.to_string())
}

/// The opened folder.
pub(crate) struct Images {
    folder: Folder,
    /// Opened when an image is first asked for, since all of their bytes are checked then.
    columns: OnceLock<Columns>,
    count: u32,
}

impl Images {
    /// Opens the folder of `images` images.
    pub(crate) fn open(path: &Path, listed: Listed, images: usize) -> Result<Images> {
        let schemas = [schema().0, schema_of_version_1()];
        let folder = Folder::open(path, listed, &schemas, tokenizers(), images)?;
        let count = u32::try_from(images)
            .map_err(|_| Error::corrupt(path, "meta.json", format!("{images} images")))?;
        Ok(Images {
            folder,
            columns: OnceLock::new(),
            count,
        })
    }

    /// The columns; none, if there is no image.
    fn columns(&self) -> Result<Option<&Columns>> {
        let Some(segment) = self.folder.segment() else {
            return Ok(None);
        };
        if let Some(columns) = self.columns.get() {
            return Ok(Some(columns));
        }
        let opened = self.folder.guard(|| Columns::open(segment))?;
        Ok(Some(self.columns.get_or_init(|| opened)))
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.folder.schema()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// The images of the prompt at `row`, by document id.
    pub(crate) fn of_prompt(&self, row: u32) -> Result<Range<u32>> {
        let Some(columns) = self.columns()? else {
            return Ok(0..0);
        };
        let first_from = |row: u64| {
            let (mut low, mut high) = (0, self.count);
            while low < high {
                let middle = low + (high - low) / 2;
                match columns.prompt_row.first(middle) {
                    Some(found) if found >= row => high = middle,
                    _ => low = middle + 1,
                }
            }
            low
        };
        self.folder
            .guard(|| Ok(first_from(row.into())..first_from(u64::from(row) + 1)))
    }

    /// One image.
    pub(crate) fn record(&self, image: u32) -> Result<ImageRecord> {
        let columns = self.columns()?;
        self.folder.guard(|| match columns {
            Some(columns) if image < self.count => columns.record(image),
            _ => Err(damaged(&format!("there is no image {image}"))),
        })
    }

    /// The images that a query matches.
    pub(crate) fn select(&self, query: &dyn Query) -> Result<RoaringBitmap> {
        self.folder.select(query)
    }

    /// The images of a name.
    pub(crate) fn named(&self, name: &str) -> Result<RoaringBitmap> {
        let Ok(field) = self.schema().get_field(NAME_COLUMN) else {
            return Ok(RoaringBitmap::new());
        };
        let term = Term::from_field_text(field, name);
        self.select(&TermQuery::new(term, IndexRecordOption::Basic))
    }

    /// The images whose prompts were predicted.
    pub(crate) fn predicted(&self) -> Result<RoaringBitmap> {
        if self.schema().get_field(PREDICTED_COLUMN).is_err() {
            return Ok(RoaringBitmap::new());
        }
        self.select(&ExistsQuery::new(PREDICTED_COLUMN.to_owned(), false))
    }

    /// The prompts, below `rows`, that `images` belong to.
    pub(crate) fn prompts(&self, images: &RoaringBitmap, rows: u32) -> Result<RoaringBitmap> {
        let Some(columns) = self.columns()? else {
            return Ok(RoaringBitmap::new());
        };
        let row = |image| {
            columns
                .prompt_row
                .first(image)
                .and_then(|row| u32::try_from(row).ok())
        };
        self.folder.guard(|| {
            Ok(images
                .iter()
                .filter_map(row)
                .filter(|&row| row < rows)
                .collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::listed;

    #[test]
    fn records_come_back_by_prompt() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images");
        let mut writer = ImagesWriter::create(&path).unwrap();
        let full = ImageRecord {
            image_name: "a.png".into(),
            part_id: Some(u32::MAX),
            seed: Some(u64::MAX),
            step: Some(50),
            cfg: Some(7.1),
            sampler: Some("k_lms".into()),
            width: Some(512),
            height: Some(0),
            image_nsfw: Some(0.1),
            prompt_nsfw: Some(2.0),
            timestamp: Some(-1),
            model: Some("DreamShaper_8".into()),
            generator: Some("comfyui".into()),
            file_size: Some(u64::MAX),
            predicted: Some(0.3),
        };
        let bare = ImageRecord {
            image_name: String::new(),
            ..ImageRecord::default()
        };
        for (row, image) in [(1, &full), (1, &bare), (4, &full)] {
            writer.push(row, image).unwrap();
        }
        writer.finish().unwrap();
        let images = Images::open(&path, listed(&path), 3).unwrap();
        assert_eq!(images.of_prompt(0).unwrap(), 0..0);
        assert_eq!(images.of_prompt(1).unwrap(), 0..2);
        assert_eq!(images.of_prompt(2).unwrap(), 2..2);
        assert_eq!(images.of_prompt(4).unwrap(), 2..3);
        assert_eq!(images.of_prompt(u32::MAX).unwrap(), 3..3);
        assert_eq!(images.record(0).unwrap(), full);
        assert_eq!(images.record(1).unwrap(), bare);
        assert!(images.record(3).is_err());
        assert!(
            Images::open(&path, listed(&path), 2).is_err(),
            "the MANIFEST says otherwise"
        );
    }

    #[test]
    fn no_image_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images");
        ImagesWriter::create(&path).unwrap().finish().unwrap();
        let images = Images::open(&path, listed(&path), 0).unwrap();
        assert_eq!(images.of_prompt(0).unwrap(), 0..0);
        assert!(images.record(0).is_err());
    }
}
