//! What the columns of a table mean: which one holds the prompt, and how the others, under
//! DiffusionDB's names, describe an image. The one who made an image is not among them.

use std::path::Path;

use arrow_cast::parse::string_to_timestamp_nanos;
use unprompt_index::ImageRecord;

use crate::error::{Error, Result};

/// Where a user names no column of prompts, the first of these that is there.
const TEXT_COLUMNS: &[&str] = &["prompt", "text", "caption"];

/// DiffusionDB's numbers for samplers, from 1.
const SAMPLERS: [&str; 9] = [
    "ddim",
    "plms",
    "k_euler",
    "k_euler_ancestral",
    "k_heun",
    "k_dpm_2",
    "k_dpm_2_ancestral",
    "k_lms",
    "others",
];

/// Place of the column of prompts among `columns`.
///
/// # Errors
/// [`Error::MissingColumn`] if there is none.
pub(super) fn text_column<S: AsRef<str>>(
    path: &Path,
    wanted: Option<&str>,
    columns: &[S],
) -> Result<usize> {
    let place = |name: &str| columns.iter().position(|column| column.as_ref() == name);
    let found = match wanted {
        Some(name) => place(name),
        None => TEXT_COLUMNS.iter().find_map(|name| place(name)),
    };
    found.ok_or_else(|| Error::MissingColumn {
        path: path.to_owned(),
        wanted: wanted.map_or_else(
            || TEXT_COLUMNS.iter().map(|&name| name.to_owned()).collect(),
            |name| vec![name.to_owned()],
        ),
        columns: columns
            .iter()
            .map(|column| column.as_ref().to_owned())
            .collect(),
    })
}

/// One value of a table, in whatever form the file keeps it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    None,
    Text(&'a str),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Cell<'_> {
    fn to_u64(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => value.try_into().ok(),
            // The comparison holds for whole numbers in range only; 2^64 itself is out of range.
            Self::Float(value) => {
                let whole = value as u64;
                (whole as f64 == value && value < u64::MAX as f64).then_some(whole)
            }
            Self::Text(text) => {
                let text = text.trim();
                let float = || Self::Float(text.parse().ok()?).to_u64();
                text.parse().ok().or_else(float)
            }
        }
    }

    fn to_u32(self) -> Option<u32> {
        self.to_u64()?.try_into().ok()
    }

    fn to_f32(self) -> Option<f32> {
        let value = match self {
            Self::None => return None,
            Self::Text(text) => text.trim().parse().ok()?,
            Self::Unsigned(value) => value as f32,
            Self::Signed(value) => value as f32,
            Self::Float(value) => value as f32,
        };
        value.is_finite().then_some(value)
    }

    /// How unsafe something is: 0 to 1, or DiffusionDB's 2.
    fn to_nsfw(self) -> Option<f32> {
        self.to_f32().filter(|value| (0.0..=2.0).contains(value))
    }

    /// Milliseconds since 1970 UTC; a text is a date and time, UTC where it names no zone.
    fn to_timestamp_ms(self) -> Option<i64> {
        match self {
            Self::Text(text) => {
                let nanos = string_to_timestamp_nanos(text.trim()).ok()?;
                Some(nanos.div_euclid(1_000_000))
            }
            Self::Signed(value) => Some(value),
            other => other.to_u64()?.try_into().ok(),
        }
    }

    fn to_text(self) -> Option<String> {
        match self {
            Self::None | Self::Float(_) => None,
            Self::Text(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Self::Unsigned(value) => Some(value.to_string()),
            Self::Signed(value) => Some(value.to_string()),
        }
    }

    /// The sampler's name, for a number of DiffusionDB too.
    fn to_sampler(self) -> Option<String> {
        match self.to_u64() {
            Some(number) => {
                let place = usize::try_from(number).ok()?.checked_sub(1)?;
                SAMPLERS.get(place).map(|&name| name.to_owned())
            }
            None => self.to_text(),
        }
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
        _ => return None,
    })
}

/// The columns of one table that describe an image, with their places.
#[derive(Debug, Default)]
pub(super) struct ImageColumns {
    columns: Vec<(usize, Column)>,
}

impl ImageColumns {
    /// Those among `names`; none at all if there is no `image_name`.
    pub(super) fn of<S: AsRef<str>>(names: &[S]) -> Self {
        let columns: Vec<(usize, Column)> = names
            .iter()
            .enumerate()
            .filter_map(|(place, name)| Some((place, column(name.as_ref())?)))
            .collect();
        if columns
            .iter()
            .any(|&(_, column)| column == Column::ImageName)
        {
            Self { columns }
        } else {
            Self::default()
        }
    }

    /// Places of the columns, ascending.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|&(place, _)| place)
    }

    /// The image of a row, whose values `cell` gives by place; `None` if it has no name.
    pub(super) fn image<'a>(&self, cell: impl Fn(usize) -> Cell<'a>) -> Option<ImageRecord> {
        let mut image = ImageRecord::default();
        for &(place, column) in &self.columns {
            let cell = cell(place);
            match column {
                Column::ImageName => image.image_name = cell.to_text()?,
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
            }
        }
        (!image.image_name.is_empty()).then_some(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_in_every_form() {
        for cell in [
            Cell::Unsigned(50),
            Cell::Signed(50),
            Cell::Float(50.0),
            Cell::Text(" 50 "),
            Cell::Text("50.0"),
        ] {
            assert_eq!(cell.to_u32(), Some(50), "{cell:?}");
            assert_eq!(cell.to_f32(), Some(50.0), "{cell:?}");
        }
        let max = Cell::Text("18446744073709551615");
        assert_eq!(max.to_u64(), Some(u64::MAX));
    }

    #[test]
    fn values_out_of_range_are_unknown() {
        for cell in [
            Cell::None,
            Cell::Signed(-1),
            Cell::Float(-1.0),
            Cell::Float(1.5),
            Cell::Float(f64::NAN),
            Cell::Float(f64::INFINITY),
            Cell::Float(18_446_744_073_709_551_616.0),
            Cell::Text("18446744073709551616"),
            Cell::Text(""),
            Cell::Text("null"),
        ] {
            assert_eq!(cell.to_u64(), None, "{cell:?}");
        }
        assert_eq!(Cell::Unsigned(1 << 32).to_u32(), None);
        assert_eq!(Cell::Float(f64::MAX).to_f32(), None);
        assert_eq!(Cell::Text("NaN").to_f32(), None);
        assert_eq!(Cell::Float(2.0).to_nsfw(), Some(2.0));
        assert_eq!(Cell::Float(-0.5).to_nsfw(), None);
    }

    #[test]
    fn samplers_have_names() {
        assert_eq!(Cell::Unsigned(1).to_sampler().as_deref(), Some("ddim"));
        assert_eq!(Cell::Text("8").to_sampler().as_deref(), Some("k_lms"));
        assert_eq!(Cell::Float(9.0).to_sampler().as_deref(), Some("others"));
        assert_eq!(
            Cell::Text("Euler a").to_sampler().as_deref(),
            Some("Euler a")
        );
        for unknown in [Cell::Unsigned(0), Cell::Unsigned(10), Cell::None] {
            assert_eq!(unknown.to_sampler(), None, "{unknown:?}");
        }
    }

    #[test]
    fn times_are_taken_as_text_and_as_milliseconds() {
        const MS: i64 = 1_660_977_360_000;
        for text in [
            "2022-08-20 06:36:00+00:00",
            "2022-08-20T06:36:00Z",
            "2022-08-20 06:36:00",
            "2022-08-20T08:36:00+02:00",
        ] {
            assert_eq!(Cell::Text(text).to_timestamp_ms(), Some(MS), "{text}");
        }
        assert_eq!(Cell::Signed(MS).to_timestamp_ms(), Some(MS));
        for text in ["", "NaT", "yesterday", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}-08"] {
            assert_eq!(Cell::Text(text).to_timestamp_ms(), None, "{text}");
        }
    }

    #[test]
    fn an_image_needs_a_name() {
        let columns = ImageColumns::of(&["prompt", "image_name", "steps", "user_name"]);
        let row = |name| move |place| [Cell::None, name, Cell::Signed(20), Cell::None][place];
        let image = columns.image(row(Cell::Text("a.png"))).unwrap();
        assert_eq!((image.image_name.as_str(), image.step), ("a.png", Some(20)));
        assert_eq!(columns.image(row(Cell::Text(" "))), None);
        assert_eq!(columns.image(row(Cell::None)), None);
        let unnamed = ImageColumns::of(&["prompt", "seed"]);
        assert_eq!(unnamed.places().count(), 0);
        assert_eq!(unnamed.image(|_| Cell::Unsigned(1)), None);
    }
}
