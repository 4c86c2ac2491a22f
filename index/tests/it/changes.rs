//! Changes of an index, and a plain model that undergoes the same. Prompts, vectors and images
//! follow from numbers, so that a process can be told of a change by its seed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use unprompt_index::{
    BuildOptions, Deletion, Error, Filter, ImageRecord, Phase, Place, PromptId, Writer, compact,
    delete,
};

use crate::util::{Content, encoder, image, rng, unit};

pub(crate) const WIDE: usize = 8;
pub(crate) const WORDS: usize = 6;

/// Prompts that one call stages.
const STAGED_AT_ONCE: usize = 4;

/// What is told of a change while it is made.
#[derive(Debug)]
pub(crate) enum Told {
    /// So many vectors are staged now.
    Staged(usize),
    /// All files are written, and are now made last.
    Sync,
}

/// A change of an index.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Of a folder without one: prompts, each with an image of a number.
    Build(Vec<(usize, usize)>),
    Add(Vec<(usize, usize)>),
    /// Removes images of these prompts and numbers, and adds others, in one.
    Replace(Vec<(usize, usize)>, Vec<(usize, usize)>),
    Delete(Vec<usize>),
    DeletePart(u32),
    DeleteWord(usize),
    Compact,
}

pub(crate) fn text(prompt: usize) -> String {
    let words = (0..1 + prompt % 5).map(|j| format!("w{}", (prompt + j * j) % WORDS));
    format!("{} n{prompt}", words.collect::<Vec<_>>().join(" "))
}

pub(crate) fn vector(prompt: usize) -> Vec<f32> {
    // Every third shares its vector with another: ties.
    unit(&mut rng((prompt - prompt % 3 / 2) as u64), WIDE, None)
}

fn picture(prompt: usize, number: usize) -> ImageRecord {
    ImageRecord {
        part_id: Some((number % 3) as u32),
        seed: Some((prompt * 10 + number) as u64),
        ..image(&format!("{prompt}-{number}.png"))
    }
}

impl Change {
    /// What it is called in a report.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Change::Build(_) => "build",
            Change::Add(_) => "add",
            Change::Replace(..) => "replace",
            Change::Delete(_) => "delete by id",
            Change::DeletePart(_) | Change::DeleteWord(_) => "delete by filter",
            Change::Compact => "compact",
        }
    }

    /// Makes the change.
    pub(crate) fn make(
        &self,
        place: impl Into<Place>,
        tell: &mut dyn FnMut(Told),
    ) -> Result<(), Error> {
        let options = BuildOptions::default();
        match self {
            Change::Build(rows) => {
                let writer = Writer::create(place, encoder(WIDE), options)?;
                write(writer, rows, tell)
            }
            Change::Add(rows) => write(Writer::open(place, options)?, rows, tell),
            Change::Replace(old, new) => {
                let mut writer = Writer::open(place, options)?;
                for &(prompt, number) in old {
                    writer.remove_images(&picture(prompt, number).image_name)?;
                }
                write(writer, new, tell)
            }
            Change::Delete(prompts) => {
                let ids = prompts.iter().map(|&prompt| PromptId::of(&text(prompt)));
                delete(place, &Deletion::Prompts(ids.collect())).map(drop)
            }
            Change::DeletePart(part) => by_filter(place, &format!("part_id:{part}")),
            Change::DeleteWord(word) => by_filter(place, &format!("w{word}")),
            Change::Compact => compact(place, options, &mut go_on(tell)).map(drop),
        }
    }
}

fn write(
    mut writer: Writer,
    rows: &[(usize, usize)],
    tell: &mut dyn FnMut(Told),
) -> Result<(), Error> {
    tell(Told::Staged(writer.staged()));
    for some in rows.chunks(STAGED_AT_ONCE) {
        let prompts: Vec<String> = some.iter().map(|row| text(row.0)).collect();
        let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        let vectors: Vec<f32> = some.iter().flat_map(|row| vector(row.0)).collect();
        writer.stage(&prompts, &vectors)?;
        tell(Told::Staged(writer.staged()));
    }
    for &(prompt, number) in rows {
        writer.add(&text(prompt), vec![picture(prompt, number)])?;
    }
    writer.commit(&mut go_on(tell)).map(drop)
}

fn go_on(tell: &mut dyn FnMut(Told)) -> impl FnMut(Phase) -> ControlFlow<()> {
    |phase| {
        if phase == Phase::Sync {
            tell(Told::Sync);
        }
        ControlFlow::Continue(())
    }
}

fn by_filter(place: impl Into<Place>, filter: &str) -> Result<(), Error> {
    let filter = Filter::parse(filter)?;
    delete(place, &Deletion::Matching(filter)).map(drop)
}

/// Prompts with their images in the order of adding.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model(pub(crate) BTreeMap<usize, Vec<ImageRecord>>);

impl Model {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Build(prompts) | Change::Add(prompts) => self.add(prompts),
            Change::Replace(old, new) => {
                for &(prompt, number) in old {
                    if let Some(images) = self.0.get_mut(&prompt) {
                        images.retain(|image| *image != picture(prompt, number));
                    }
                }
                self.add(new);
                self.0.retain(|_, images| !images.is_empty());
            }
            Change::Delete(prompts) => self.0.retain(|prompt, _| !prompts.contains(prompt)),
            Change::DeletePart(part) => self.0.retain(|_, images| {
                images.retain(|image| image.part_id != Some(*part));
                !images.is_empty()
            }),
            Change::DeleteWord(word) => {
                let word = format!("w{word}");
                self.0
                    .retain(|prompt, _| !text(*prompt).split(' ').any(|w| w == word));
            }
            Change::Compact => {}
        }
    }

    fn add(&mut self, prompts: &[(usize, usize)]) {
        for &(prompt, number) in prompts {
            let images = self.0.entry(prompt).or_default();
            let image = picture(prompt, number);
            if !images.contains(&image) {
                images.push(image);
            }
        }
    }

    /// What an index must hold that has undergone the same.
    pub(crate) fn content(&self) -> Content {
        let entry = |(&prompt, images): (&usize, &Vec<ImageRecord>)| {
            (text(prompt), (vector(prompt), images.clone()))
        };
        self.0.iter().map(entry).collect()
    }
}
