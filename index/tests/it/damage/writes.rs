//! Changes of an index, which may be damaged.

use std::ops::ControlFlow;
use std::path::Path;

use unprompt_index::{Deletion, Error, Filter, PromptId, Writer, compact, delete};

use super::asks::more_images;
use super::sample::{options, place, text, vector};

type Change = fn(&Path) -> Result<(), Error>;

/// One of each kind.
pub(super) const CHANGES: [Change; 6] = [
    add_few,
    add_many,
    use_staged,
    delete_prompts,
    delete_matching,
    compact_all,
];

/// A new prompt, and images of a known one: a new segment beside the others.
fn add_few(dir: &Path) -> Result<(), Error> {
    let mut writer = Writer::open(place(dir), options())?;
    for i in [1, 160] {
        writer.push(&text(i), vector(i), more_images(i))?;
    }
    writer.commit(&mut |_| ControlFlow::Continue(())).map(drop)
}

/// As many as make it take in the smaller segments.
fn add_many(dir: &Path) -> Result<(), Error> {
    let mut writer = Writer::open(place(dir), options())?;
    for i in 0..30 {
        let text = format!("{} again", text(i));
        writer.push(&text, vector(i), more_images(i))?;
    }
    writer.commit(&mut |_| ControlFlow::Continue(())).map(drop)
}

/// Prompts whose vectors are staged, unless that file is the damaged one.
fn use_staged(dir: &Path) -> Result<(), Error> {
    let mut writer = Writer::open(place(dir), options())?;
    for i in 155..161 {
        match writer.knows(&text(i))? {
            true => writer.add(&text(i), more_images(i))?,
            false => writer.push(&text(i), vector(i), more_images(i))?,
        };
    }
    writer.commit(&mut |_| ControlFlow::Continue(())).map(drop)
}

fn delete_prompts(dir: &Path) -> Result<(), Error> {
    let ids = [2, 50, 101, 150, 999].map(|i| PromptId::of(&text(i)));
    delete(place(dir), &Deletion::Prompts(ids.into())).map(drop)
}

fn delete_matching(dir: &Path) -> Result<(), Error> {
    let filter = Filter::parse("grey sampler:k_lms part_id:[1 TO 2]").unwrap();
    delete(place(dir), &Deletion::Matching(filter)).map(drop)
}

fn compact_all(dir: &Path) -> Result<(), Error> {
    compact(place(dir), options(), &mut |_| ControlFlow::Continue(())).map(drop)
}
