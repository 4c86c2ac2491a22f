//! One value of a data file, and what it says about an image.

use arrow_cast::parse::string_to_timestamp_nanos;
use serde_json::Value;

use super::samplers;

/// One value of a table, in whatever form the file keeps it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    None,
    Text(&'a str),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Number(number) => number
                .as_u64()
                .map(Self::Unsigned)
                .or_else(|| number.as_i64().map(Self::Signed))
                .or_else(|| number.as_f64().map(Self::Float))
                .unwrap_or(Self::None),
            _ => Self::None,
        }
    }
}

impl Cell<'_> {
    pub(super) fn to_u64(self) -> Option<u64> {
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

    pub(super) fn to_u32(self) -> Option<u32> {
        self.to_u64()?.try_into().ok()
    }

    pub(super) fn to_f32(self) -> Option<f32> {
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
    pub(super) fn to_nsfw(self) -> Option<f32> {
        self.to_f32().filter(|value| (0.0..=2.0).contains(value))
    }

    /// Milliseconds since 1970 UTC; a text is a date and time, UTC where it names no zone.
    pub(super) fn to_timestamp_ms(self) -> Option<i64> {
        match self {
            Self::Text(text) => {
                let nanos = string_to_timestamp_nanos(text.trim()).ok()?;
                Some(nanos.div_euclid(1_000_000))
            }
            Self::Signed(value) => Some(value),
            other => other.to_u64()?.try_into().ok(),
        }
    }

    pub(super) fn to_text(self) -> Option<String> {
        match self {
            Self::None | Self::Float(_) => None,
            Self::Text(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Self::Unsigned(value) => Some(value.to_string()),
            Self::Signed(value) => Some(value.to_string()),
        }
    }

    /// The sampler's name, for a number of DiffusionDB too.
    pub(super) fn to_sampler(self) -> Option<String> {
        match self.to_u64() {
            Some(number) => samplers::name(number).map(str::to_owned),
            None => self.to_text(),
        }
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
}
