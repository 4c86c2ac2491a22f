//! Sides of folders: those that they have, or near-duplicates together.

use std::collections::HashSet;
use std::fs;
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::path::Path;

use image::{ImageFormat, RgbImage};
use unprompt::Error;
use unprompt::data::pairs::Sides;
use unprompt::data::split::Splitter;
use unprompt::pocket::{Prompts, Split};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::support::encoder;

/// The sides of prompts, found anew or as `kept_in` has them.
fn sides(prompts: &[String], kept_in: Option<&Path>) -> unprompt::Result<Vec<Split>> {
    let is_kept = kept_in.is_some_and(|folder| folder.join("sides.txt").exists());
    let mut splitter = Splitter {
        sentences: encoder(),
        kept_in,
        observe: &mut |_, _| match is_kept {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        },
    };
    splitter.sides(&prompts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn near_duplicates_are_on_one_side() {
    let mut seen = HashSet::new();
    let prompts = Prompts::new(1, Split::Train).filter(|it| seen.insert(it.meaning));
    let first: Vec<String> = prompts.take(200).map(|it| it.text).collect();
    let again = first.iter().map(|it| format!("{}, 4k", it.to_uppercase()));
    let all: Vec<String> = first.iter().cloned().chain(again).collect();
    let folder = tempfile::tempdir().unwrap();
    let found = sides(&all, Some(folder.path())).unwrap();
    let (of_first, of_again) = found.split_at(first.len());
    assert_eq!(of_first, of_again);
    for side in Split::ALL {
        assert!(of_first.contains(&side), "{}", side.name());
    }
    // What comes later changes nothing, and what is kept is not found again.
    assert_eq!(sides(&first, None).unwrap(), of_first);
    assert_eq!(sides(&all, Some(folder.path())).unwrap(), found);
    let others = sides(&first, Some(folder.path()));
    assert!(matches!(others, Err(Error::Cancelled)), "kept for others");
}

/// A part of an image a prompt.
fn part(prompts: &[&str]) -> Vec<u8> {
    let mut png = Cursor::new(vec![]);
    RgbImage::new(2, 2)
        .write_to(&mut png, ImageFormat::Png)
        .unwrap();
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    };
    let mut json = serde_json::Map::new();
    for (number, prompt) in prompts.iter().enumerate() {
        let name = format!("{number:04}.png");
        put(&name, png.get_ref());
        json.insert(name, serde_json::json!({ "p": prompt }));
    }
    put("part-000001.json", &serde_json::to_vec(&json).unwrap());
    zip.finish().unwrap().into_inner()
}

fn open(folder: &Path) -> Sides {
    let mut splitter = Splitter {
        sentences: encoder(),
        kept_in: None,
        observe: &mut |_, _| ControlFlow::Continue(()),
    };
    Sides::open(folder, &mut splitter).unwrap()
}

#[test]
fn sides_of_a_folder_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (side, prompt) in [("train", "a cat"), ("validation", "a dog")] {
        let place = folder.path().join(side);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("part-000001.zip"), part(&[prompt])).unwrap();
    }
    let sides = open(folder.path());
    let prompts = |side| {
        let pairs = sides.pairs(side).unwrap();
        pairs.prompts().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(prompts(Split::Train), ["a cat"]);
    assert_eq!(prompts(Split::Validation), ["a dog"]);
}

#[test]
fn a_folder_without_sides_is_split() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-000001.zip");
    let prompts: Vec<String> = Prompts::new(2, Split::Train)
        .take(150)
        .map(|it| it.text)
        .collect();
    let texts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    fs::write(&path, part(&texts)).unwrap();
    let found = open(folder.path());
    let pairs = Split::ALL.map(|side| found.pairs(side).unwrap());
    assert_eq!(
        pairs.iter().map(|it| it.len()).sum::<usize>(),
        prompts.len()
    );
    assert!(pairs[0].len() > pairs[1].len() + pairs[2].len());
    let expected = sides(&prompts, None).unwrap();
    for (side, pairs) in Split::ALL.iter().zip(&pairs) {
        let is_there = |(_, it): &(&String, &Split)| *it == side;
        let there = prompts.iter().zip(&expected).filter(is_there);
        assert!(pairs.prompts().eq(there.map(|(prompt, _)| prompt)));
    }

    fs::write(&path, part(&["one alone"])).unwrap();
    let lone = open(folder.path());
    let empty = Split::ALL.iter().filter(|side| lone.pairs(**side).is_err());
    assert_eq!(empty.count(), 2);
    let error = Split::ALL.iter().find_map(|side| lone.pairs(*side).err());
    assert!(matches!(error, Some(Error::NoPairs { .. })));
}
