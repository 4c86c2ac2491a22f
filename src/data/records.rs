//! Rows put together: each prompt once, with all of its images.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use unprompt_index::{ImageRecord, PromptId};

use super::row::Row;

/// A prompt and the images that were made from it.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptRecord {
    /// The prompt.
    pub prompt: String,
    /// Its images, in the order in which they came.
    pub images: Vec<ImageRecord>,
    /// Whether it came without an image, too.
    pub given: bool,
}

/// Distinct prompts in the order in which they first came.
///
/// Prompts are the same if their [`PromptId`]s are, as in the index.
///
/// ```
/// use unprompt::data::records::Records;
/// use unprompt::data::row::Row;
///
/// let mut records = Records::default();
/// for prompt in ["a cat", "a dog", "a cat"] {
///     records.add(Row { prompt: prompt.to_owned(), ..Row::default() });
/// }
/// assert_eq!(records.prompts().len(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Records {
    prompts: Vec<PromptRecord>,
    numbers: HashMap<PromptId, usize>,
}

impl Records {
    /// Adds a row: a new prompt, or one more image of a known one. Its vector is not kept: who needs it
    /// takes it before, as those of all prompts may be larger than memory.
    pub fn add(&mut self, row: Row) {
        let next = self.prompts.len();
        match self.numbers.entry(PromptId::of(&row.prompt)) {
            Entry::Occupied(number) => {
                if let Some(record) = self.prompts.get_mut(*number.get()) {
                    record.given |= row.image.is_none();
                    record.images.extend(row.image);
                }
            }
            Entry::Vacant(place) => {
                place.insert(next);
                // Most prompts have one image, and a vector that grows begins with room for four.
                self.prompts.push(PromptRecord {
                    prompt: row.prompt,
                    given: row.image.is_none(),
                    images: row.image.map_or_else(Vec::new, |image| vec![image]),
                });
            }
        }
    }

    /// Whether a prompt is there.
    pub fn contains(&self, prompt: &str) -> bool {
        self.numbers.contains_key(&PromptId::of(prompt))
    }

    /// The prompts so far.
    pub fn prompts(&self) -> &[PromptRecord] {
        &self.prompts
    }

    /// The prompts, handed over.
    pub fn into_prompts(self) -> Vec<PromptRecord> {
        self.prompts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_stands_once_with_its_images_in_order() {
        let mut records = Records::default();
        for (prompt, image) in [
            ("b", Some("1.png")),
            ("a", None),
            ("b", None),
            ("b", Some("2.png")),
            ("c", Some("3.png")),
        ] {
            let image = image.map(|name| ImageRecord {
                image_name: name.to_owned(),
                ..ImageRecord::default()
            });
            records.add(Row {
                prompt: prompt.to_owned(),
                image,
                vector: None,
            });
        }
        let found: Vec<(String, Vec<String>, bool)> = records
            .into_prompts()
            .into_iter()
            .map(|record| {
                let names = record.images.into_iter().map(|image| image.image_name);
                (record.prompt, names.collect(), record.given)
            })
            .collect();
        let expected = vec![
            (
                "b".to_owned(),
                vec!["1.png".to_owned(), "2.png".to_owned()],
                true,
            ),
            ("a".to_owned(), vec![], true),
            ("c".to_owned(), vec!["3.png".to_owned()], false),
        ];
        assert_eq!(found, expected);
    }
}
