//! What the columns of a table mean: which one holds the prompt, and how the others, under
//! DiffusionDB's names, describe an image. The one who made an image is not among them.

use std::path::Path;

use unprompt_index::ImageRecord;

use super::cell::Cell;
use crate::error::{Error, Result};

/// Where a user names no column of prompts, the first of these that is there.
const TEXT_COLUMNS: &[&str] = &["prompt", "text", "caption"];

/// Place of the column of prompts among `columns`.
///
/// # Errors
/// [`Error::MissingColumn`] if there is none.
pub(super) fn text_column<S: AsRef<str>>(
    path: &Path,
    wanted: Option<&str>,
    columns: &[S],
) -> Result<usize> {
    text_place(wanted, columns, |_| true).ok_or_else(|| missing_column(path, wanted, columns))
}

/// Place of the column of prompts among those of `columns` that are `eligible`. A name that the
/// user gave is taken by the letter; of those usual, capitals do not matter.
pub(super) fn text_place<S: AsRef<str>>(
    wanted: Option<&str>,
    columns: &[S],
    eligible: impl Fn(usize) -> bool,
) -> Option<usize> {
    let place = |same: &dyn Fn(&str) -> bool| {
        let mut places = columns.iter().enumerate();
        places
            .find_map(|(place, column)| (same(column.as_ref()) && eligible(place)).then_some(place))
    };
    match wanted {
        Some(name) => place(&|column| column == name),
        None => TEXT_COLUMNS
            .iter()
            .find_map(|&name| place(&|column| column == name))
            .or_else(|| {
                TEXT_COLUMNS
                    .iter()
                    .find_map(|name| place(&|column| column.eq_ignore_ascii_case(name)))
            }),
    }
}

/// The error of a file none of whose `columns` holds prompts.
pub(super) fn missing_column<S: AsRef<str>>(
    path: &Path,
    wanted: Option<&str>,
    columns: &[S],
) -> Error {
    let wanted = wanted.map_or_else(|| TEXT_COLUMNS.to_vec(), |name| vec![name]);
    Error::MissingColumn {
        path: path.to_owned(),
        wanted: wanted.into_iter().map(str::to_owned).collect(),
        columns: columns
            .iter()
            .map(|column| column.as_ref().to_owned())
            .collect(),
    }
}

/// Columns that describe an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    ImageName,
    PartId,
    Seed,
    Step,
    Cfg,
    Sampler,
    Width,
    Height,
    Timestamp,
    ImageNsfw,
    PromptNsfw,
    Model,
    Generator,
    FileSize,
    Predicted,
}

fn column(name: &str) -> Option<Column> {
    Some(match name {
        "image_name" => Column::ImageName,
        "part_id" => Column::PartId,
        "seed" => Column::Seed,
        "step" | "steps" => Column::Step,
        "cfg" => Column::Cfg,
        "sampler" => Column::Sampler,
        "width" => Column::Width,
        "height" => Column::Height,
        "timestamp" => Column::Timestamp,
        "image_nsfw" => Column::ImageNsfw,
        "prompt_nsfw" => Column::PromptNsfw,
        "model" => Column::Model,
        "generator" => Column::Generator,
        "file_size" => Column::FileSize,
        "predicted" => Column::Predicted,
        _ => return None,
    })
}

/// The columns of one table that describe an image, with their places.
#[derive(Debug)]
pub(super) struct ImageColumns {
    columns: Vec<(usize, Column)>,
}

impl ImageColumns {
    /// Those among `names`.
    pub(super) fn of<S: AsRef<str>>(names: &[S]) -> Self {
        let columns = names.iter().enumerate();
        Self {
            columns: columns
                .filter_map(|(place, name)| Some((place, column(name.as_ref())?)))
                .collect(),
        }
    }

    /// Places of the columns, ascending.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|&(place, _)| place)
    }

    /// What a row, whose values `cell` gives by place, says about an image. Its name may be empty.
    pub(super) fn image<'a>(&self, cell: impl Fn(usize) -> Cell<'a>) -> ImageRecord {
        let mut image = ImageRecord::default();
        for &(place, column) in &self.columns {
            let cell = cell(place);
            match column {
                Column::ImageName => image.image_name = cell.to_text().unwrap_or_default(),
                Column::PartId => image.part_id = cell.to_u32(),
                Column::Seed => image.seed = cell.to_u64(),
                Column::Step => image.step = image.step.or(cell.to_u32()),
                Column::Cfg => image.cfg = cell.to_f32(),
                Column::Sampler => image.sampler = cell.to_sampler(),
                Column::Width => image.width = cell.to_u32(),
                Column::Height => image.height = cell.to_u32(),
                Column::Timestamp => image.timestamp = cell.to_timestamp_ms(),
                Column::ImageNsfw => image.image_nsfw = cell.to_nsfw(),
                Column::PromptNsfw => image.prompt_nsfw = cell.to_nsfw(),
                Column::Model => image.model = cell.to_text(),
                Column::Generator => image.generator = cell.to_text(),
                Column::FileSize => image.file_size = cell.to_u64(),
                Column::Predicted => image.predicted = cell.to_f32(),
            }
        }
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_put_together_from_columns() {
        let columns = ImageColumns::of(&["prompt", "image_name", "steps", "user_name"]);
        let row = |name| move |place| [Cell::None, name, Cell::Signed(20), Cell::None][place];
        let image = columns.image(row(Cell::Text("a.png")));
        assert_eq!((image.image_name.as_str(), image.step), ("a.png", Some(20)));
        for nameless in [Cell::Text(" "), Cell::None] {
            let image = columns.image(row(nameless));
            assert_eq!((image.image_name.as_str(), image.step), ("", Some(20)));
        }
        let none = ImageColumns::of(&["prompt", "words"]);
        assert_eq!(none.places().count(), 0);
        assert_eq!(none.image(|_| Cell::Unsigned(1)), ImageRecord::default());
    }

    #[test]
    fn columns_of_prompts_have_an_order() {
        let place = |columns: &[&str]| text_place(None, columns, |_| true);
        assert_eq!(place(&["caption", "text", "prompt"]), Some(2));
        assert_eq!(place(&["TEXT", "Prompt", "caption"]), Some(2));
        assert_eq!(place(&["SAMPLE_ID", "URL", "TEXT"]), Some(2));
        assert_eq!(text_place(Some("text"), &["TEXT"], |_| true), None);
        assert_eq!(
            text_place(None, &["prompt", "text"], |place| place == 1),
            Some(1)
        );
    }
}
