//! Images with their prompts, out of zipped parts.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;
use zip::CompressionMethod;

use super::parts::zipped;
use crate::data::pairs::Pairs;
use crate::data::split;
use crate::error::{Error, one_line};
use crate::pocket::Split;

/// An image that no other number has.
fn image(number: u8) -> RgbImage {
    RgbImage::from_pixel(3, 2, Rgb([number, 1, 2]))
}

fn png(number: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    image(number)
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// A part of one image.
fn part(prompt: &str, png: &[u8]) -> Vec<u8> {
    let json = serde_json::json!({ "a.png": { "p": prompt } }).to_string();
    let entries: [(&str, &[u8]); 2] = [("a.png", png), ("part-000001.json", json.as_bytes())];
    zipped(&entries, CompressionMethod::Deflated)
}

/// A folder with a part a prompt; the number of its image is the prompt's place.
fn folder(prompts: &[String]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    for (number, prompt) in (0..).zip(prompts) {
        let path = images.join(format!("part-{number:06}.zip"));
        fs::write(path, part(prompt, &png(number))).unwrap();
    }
    folder
}

fn prompts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("cat {number}")).collect()
}

fn open(folder: &Path) -> Pairs {
    Pairs::open(folder).unwrap()
}

#[test]
fn images_are_read_in_any_order_out_of_more_parts_than_are_open_at_once() {
    let expected = prompts(150);
    let folder = folder(&expected);
    for place in [folder.path().to_owned(), folder.path().join("images")] {
        let pairs = open(&place);
        assert!(pairs.prompts().eq(expected.iter()));
        std::thread::scope(|scope| {
            for start in 0..4 {
                let pairs = &pairs;
                scope.spawn(move || {
                    for place in (start..600).map(|step| step * 67 % 150) {
                        assert_eq!(pairs.image(place).unwrap(), image(place as u8));
                    }
                });
            }
        });
    }
}

#[test]
fn a_folder_without_sides_is_split_by_prompt() {
    let folder = folder(&prompts(150));
    let (training, validation) = Pairs::sides(folder.path()).unwrap();
    assert!(training.len() + validation.len() < 150, "no test side");
    for (pairs, side) in [(training, Split::Train), (validation, Split::Validation)] {
        assert!(pairs.prompts().all(|prompt| split::side(prompt) == side));
        let first: u8 = pairs.prompts().next().unwrap()[4..].parse().unwrap();
        assert_eq!(pairs.image(0).unwrap(), image(first));
    }
}

#[test]
fn sides_of_a_folder_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (side, prompt) in [("train", "a cat"), ("validation", "a dog")] {
        let place = folder.path().join(side);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("part-000001.zip"), part(prompt, &png(1))).unwrap();
    }
    let (training, validation) = Pairs::sides(folder.path()).unwrap();
    assert!(training.prompts().eq(["a cat"]));
    assert!(validation.prompts().eq(["a dog"]));
}

#[test]
fn damage_is_told_with_part_and_image() {
    let folder = folder(&prompts(3));
    let images = folder.path().join("images");
    let whole = png(0);
    fs::write(images.join("part-000000.zip"), part("cut", &whole[..40])).unwrap();
    let json = br#"{"b.png": {"p": "not there"}}"#;
    let lone = zipped(&[("part-000001.json", json)], CompressionMethod::Stored);
    fs::write(images.join("part-000001.zip"), lone).unwrap();
    let pairs = open(folder.path());
    for (place, name) in [(0, "a.png of "), (1, "b.png of ")] {
        let error = pairs.image(place).unwrap_err();
        assert!(matches!(error, Error::PartImage { .. }), "{error}");
        let said = one_line(&error);
        assert!(said.contains(name), "{said}");
        assert!(said.contains(&format!("part-00000{place}.zip: ")), "{said}");
    }
    assert_eq!(pairs.image(2).unwrap(), image(2));
}

#[test]
fn folders_without_images_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    let error = Pairs::sides(empty.path()).unwrap_err();
    assert!(matches!(error, Error::NoZippedParts { .. }), "{error}");
    let one = folder(&prompts(1));
    let error = Pairs::sides(one.path()).unwrap_err();
    assert!(matches!(error, Error::NoPairs { .. }), "{error}");
}
