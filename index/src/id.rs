//! Names of things: [`PromptId`] for ever, [`EntryId`] within one opened index.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

/// The lasting name of a prompt: the 128-bit xxh3 hash of its UTF-8 bytes.
///
/// It depends on the text alone, so it survives rebuilding, compaction and moving to another
/// machine. Written as 32 lower-case hexadecimal digits.
///
/// ```
/// use unprompt_index::PromptId;
///
/// let id = PromptId::of("a lighthouse at dusk");
/// assert_eq!(id.to_string().len(), 32);
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct PromptId(u128);

impl PromptId {
    /// The id of `prompt`.
    pub fn of(prompt: &str) -> PromptId {
        PromptId(xxh3_128(prompt.as_bytes()))
    }

    /// As it stands in a file: 16 bytes, little endian.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// The inverse of [`PromptId::to_bytes`].
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> PromptId {
        PromptId(u128::from_le_bytes(bytes))
    }
}

impl fmt::Display for PromptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for PromptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PromptId({self})")
    }
}

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prompt id has 32 lower-case hexadecimal digits")]
pub struct ParsePromptIdError;

impl FromStr for PromptId {
    type Err = ParsePromptIdError;

    fn from_str(text: &str) -> Result<PromptId, ParsePromptIdError> {
        let ours = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(ours) {
            return Err(ParsePromptIdError);
        }
        u128::from_str_radix(text, 16)
            .map(PromptId)
            .map_err(|_| ParsePromptIdError)
    }
}

impl Serialize for PromptId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PromptId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PromptId, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a prompt stands in an opened [`Index`](crate::Index): segment, then row.
///
/// Good for as long as that `Index` lives; keep a [`PromptId`] for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    pub(crate) segment: u32,
    pub(crate) ordinal: u32,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.ordinal)
    }
}

/// An entry and how well it answers; larger is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The entry.
    pub entry: EntryId,
    /// Its score, in the unit of the search that gave it.
    pub score: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_the_published_hash_of_the_bytes() {
        // xxhsum -H2 of an empty input.
        assert_eq!(
            PromptId::of("").to_string(),
            "99aa06d3014798d86001c324468d497f"
        );
        assert_ne!(PromptId::of("a cat"), PromptId::of("a  cat"));
    }

    #[test]
    fn only_32_lower_case_digits_parse() {
        let id = PromptId::of("a cat");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(PromptId::from_bytes(id.to_bytes()), id);
        let upper = id.to_string().to_uppercase();
        for bad in ["", "12", upper.as_str(), "+0000000000000000000000000000001"] {
            assert_eq!(bad.parse::<PromptId>(), Err(ParsePromptIdError), "{bad}");
        }
    }

    #[test]
    fn json_is_the_text() {
        let id = PromptId::of("a cat");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<PromptId>(&json).unwrap(), id);
    }
}
