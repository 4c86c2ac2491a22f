//! Lists of changes, from any bytes, against a plain model.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::Numbers;
use crate::check::check;
use crate::db::{BuildOptions, Deletion, Encoder, Index, VectorOptions, Writer, compact, delete};
use crate::error::Result;
use crate::filter::Filter;
use crate::id::PromptId;
use crate::record::ImageRecord;
use crate::storage::{Disk, Place, Storage};

/// Changes of one list, and prompts that there are.
const CHANGES: usize = 6;
const PROMPTS: usize = 12;
const OPTIONS: BuildOptions = BuildOptions {
    m: 2,
    ef_construction: 4,
    threads: 1,
    element: None,
};

/// A disk that forces nothing, for speed.
#[derive(Debug)]
struct Lazy;

impl Storage for Lazy {
    fn sync_file(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        Disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        Disk.remove_dir_all(path)
    }
}

fn text(prompt: usize) -> String {
    format!("w{} w{} n{prompt}", prompt % 3, prompt % 5)
}

/// Enough numbers for codes, and for f16.
fn vector(prompt: usize) -> [f32; 64] {
    let angle = (prompt / 2) as f32;
    let mut vector = [0.0; 64];
    [vector[0], vector[1]] = [angle.cos(), angle.sin()];
    vector
}

fn image(number: usize) -> ImageRecord {
    ImageRecord {
        image_name: number.to_string(),
        seed: Some((number % 3) as u64),
        ..ImageRecord::default()
    }
}

/// Prompts: whether they were given by themselves, and the numbers of their images in the order of adding.
type Model = BTreeMap<usize, (bool, Vec<usize>)>;

/// Carries out a list of changes, and compares with the model after each.
///
/// # Panics
/// When the index and the model differ, or a change fails.
pub fn changes(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("index");
    let place = Place::on(&dir, Arc::new(Lazy));
    let mut model = Model::new();
    let encoder = Encoder {
        name: "fuzz".into(),
        digest: "1".into(),
        dim: 64,
    };
    let writer = Writer::create(place.clone(), encoder, OPTIONS).expect("a new index");
    commit(writer).expect("an empty commit");
    let mut numbers = Numbers(bytes);
    for _ in 0..CHANGES {
        if numbers.0.is_empty() {
            break;
        }
        change(&place, &mut model, &mut numbers).expect("a change");
        agree(&dir, &model).expect("an answer");
    }
    assert!(check(&dir).expect("a report").damaged.is_empty());
}

fn commit(writer: Writer) -> Result<()> {
    writer.commit(&mut |_| ControlFlow::Continue(())).map(drop)
}

fn change(place: &Place, model: &mut Model, numbers: &mut Numbers<'_>) -> Result<()> {
    let matching = |filter: &str| -> Result<()> {
        delete(place.clone(), &Deletion::Matching(Filter::parse(filter)?)).map(drop)
    };
    match numbers.below(6) {
        0 => {
            let gone: Vec<usize> = (0..numbers.below(5))
                .map(|_| numbers.below(PROMPTS))
                .collect();
            let ids = gone.iter().map(|&prompt| PromptId::of(&text(prompt)));
            delete(place.clone(), &Deletion::Prompts(ids.collect()))?;
            model.retain(|prompt, _| !gone.contains(prompt));
        }
        1 => {
            let seed = numbers.below(3);
            matching(&format!("seed:{seed}"))?;
            model.retain(|_, (given, images)| {
                images.retain(|image| image % 3 != seed);
                *given || !images.is_empty()
            });
        }
        2 => {
            let word = numbers.below(3);
            matching(&format!("w{word}"))?;
            model.retain(|prompt, _| prompt % 3 != word && prompt % 5 != word);
        }
        3 => {
            compact(place.clone(), OPTIONS, &mut |_| ControlFlow::Continue(()))?;
        }
        _ => {
            let mut writer = Writer::open(place.clone(), OPTIONS)?;
            for _ in 0..numbers.below(4) {
                let gone = numbers.below(9);
                let there = model.values().filter(|(_, images)| images.contains(&gone));
                assert_eq!(writer.remove_images(&gone.to_string())?, there.count());
                for (_, images) in model.values_mut() {
                    images.retain(|image| *image != gone);
                }
            }
            for _ in 0..numbers.below(8) {
                let (prompt, images) = (numbers.below(PROMPTS), numbers.below(3));
                let new: Vec<usize> = (0..images).map(|_| numbers.below(9)).collect();
                let records = new.iter().map(|&number| image(number)).collect();
                writer.push(&text(prompt), &vector(prompt), records)?;
                let (given, known) = model.entry(prompt).or_default();
                *given |= new.is_empty();
                for number in new {
                    if !known.contains(&number) {
                        known.push(number);
                    }
                }
            }
            commit(writer)?;
            model.retain(|_, (given, images)| *given || !images.is_empty());
        }
    }
    Ok(())
}

fn agree(dir: &Path, model: &Model) -> Result<()> {
    let index = Index::open(dir)?;
    assert_eq!(index.len(), model.len());
    assert_eq!(index.entries().count(), model.len());
    for prompt in 0..PROMPTS {
        let entry = index.find(&PromptId::of(&text(prompt)))?;
        let images = match entry {
            Some(entry) => Some(index.images(entry, None, 99)?.0),
            None => None,
        };
        let expected = model.get(&prompt);
        let expected =
            expected.map(|(_, images)| images.iter().map(|&number| image(number)).collect());
        assert_eq!(images, expected, "prompt {prompt}");
    }
    for exact in [false, true] {
        let options = VectorOptions {
            k: 99,
            exact,
            ..VectorOptions::default()
        };
        let found = index.vector_search(&vector(5), &options, None)?;
        assert_eq!(found.len(), model.len(), "all are found");
    }
    Ok(())
}
